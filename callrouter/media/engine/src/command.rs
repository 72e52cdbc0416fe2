//! What the engine can be told to do with a leg.

use std::net::SocketAddr;

use crate::answering;
use crate::coded;
use crate::dtls;
use crate::ear::KeyWish;
use crate::event::LegId;
use crate::g711::Codec;
use crate::ice;
use crate::playback::Item;
use crate::ports::PortPair;
use crate::recording::RecordingPlan;
use crate::seat::{Part, RoomId};
use crate::srtp::Keys;
use crate::tap::Tap;
use crate::telephone_event::KeySet;
use crate::unread::{LineId, Place};

/// What offer and answer agreed on.
#[derive(Clone, Debug)]
pub struct Negotiated {
    pub remote: SocketAddr,
    pub remote_rtcp: Option<SocketAddr>,
    /// Of the two laws the one everything behind the edge is in; µ-law where `coded` is given.
    pub codec: Codec,
    /// What the far end speaks where that is not G.711.
    pub coded: Option<coded::Codec>,
    pub payload_type: u8,
    pub event_type: Option<u8>,
    /// Numbers of ours that the answer did not take over: it tells us its own to send with, and its
    /// writer may go by the ones that we offered (RFC 3264 §6.1).
    pub own_type: Option<u8>,
    pub own_event_type: Option<u8>,
    /// Ticks of the telephone events' clock in a sample of 8 kHz.
    pub event_scale: u16,
    /// By which either end tells what its silence sounds like.
    pub noise_type: Option<u8>,
    /// Samples of 8 kHz in the longest packet that the far end takes.
    pub longest: usize,
    pub may_send: bool,
    pub may_receive: bool,
    /// The call is not answered yet: whoever waits need not say anything.
    pub is_early: bool,
    /// Both ends' keys; None: RTP as it is.
    pub keys: Option<Box<Keys>>,
    /// The far end is a browser's: it says by ICE where it is, and the keys come of a handshake.
    pub browser: Option<Browser>,
}

/// What a browser's offer or answer adds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Browser {
    pub credentials: ice::Credentials,
    pub terms: dtls::Terms,
}

/// How a leg takes its seat in a room.
#[derive(Debug)]
pub struct Entrance {
    pub room: RoomId,
    pub part: Part,
    /// What the room is to mix at from its first member on, in multiples of 8 kHz; None: what its
    /// members have.
    pub scale: Option<usize>,
    /// What everybody hears when it enters, and when it leaves.
    pub enter_sound: Option<Item>,
    pub leave_sound: Option<Item>,
}

#[derive(Debug)]
pub enum Action {
    SetRemote(Negotiated),
    Play {
        token: u64,
        items: Vec<Item>,
        loops: u32,
        stop_keys: KeySet,
        /// Behind what is played, instead of in its place.
        follows: bool,
    },
    StopPlay,
    Join {
        with: LegId,
    },
    Part,
    StartRecording(RecordingPlan),
    StopRecording {
        token: u64,
    },
    /// Record silence or nothing at all until it is resumed.
    PauseRecording {
        token: u64,
        with_silence: bool,
    },
    ResumeRecording {
        token: u64,
    },
    SendDigits {
        token: u64,
        keys: String,
    },
    FeedDigit {
        key: char,
        duration_ms: u32,
    },
    EnterRoom(Entrance),
    SetPart(Part),
    LeaveRoom,
    /// Play to everybody in the leg's room.
    Announce {
        token: u64,
        items: Vec<Item>,
        loops: u32,
    },
    StopAnnouncement {
        token: u64,
    },
    /// Play, or silence, instead of the relay or room the leg is in, until it is resumed.
    Hold {
        token: u64,
        items: Vec<Item>,
        loops: u32,
    },
    Resume,
    Listen {
        voice: bool,
        keys: KeyWish,
    },
    DetectAnswer(answering::Plan),
    StopDetecting,
    StartTap(Tap),
    StopTap {
        token: u64,
    },
    OpenFeed {
        token: u64,
        /// To everybody in the leg's room rather than to its far end.
        to_room: bool,
    },
    /// µ-law words for the open feed.
    FeedAudio {
        token: u64,
        words: Vec<u8>,
    },
    FeedMark {
        token: u64,
        mark: u64,
    },
    ClearFeed {
        token: u64,
    },
    /// Have a line for media that is passed on unread.
    OpenLine {
        line: LineId,
        ports: PortPair,
    },
    SetLine {
        line: LineId,
        place: Place,
    },
    /// Pass on what either of two lines hears by the other.
    JoinLines {
        line: LineId,
        with: LegId,
        other: LineId,
    },
    CloseLine {
        line: LineId,
    },
    Close,
}

#[derive(Debug)]
pub struct Command {
    pub leg: LegId,
    pub action: Action,
}

impl Action {
    /// Whether what is heard before it is taken otherwise than what is heard after it.
    pub fn parts_what_is_heard(&self) -> bool {
        !matches!(
            self,
            Self::FeedAudio { .. }
                | Self::FeedMark { .. }
                | Self::ClearFeed { .. }
                | Self::SendDigits { .. }
                | Self::FeedDigit { .. }
                | Self::Announce { .. }
                | Self::StopAnnouncement { .. }
        )
    }
}

impl Command {
    /// The other legs this command needs on its leg's thread.
    pub fn companions(&self) -> Vec<LegId> {
        match &self.action {
            Action::Join { with } | Action::JoinLines { with, .. } => vec![*with],
            Action::StartRecording(plan) => {
                plan.channels.iter().flatten().map(|track| track.leg).filter(|leg| *leg != self.leg).collect()
            }
            _ => vec![],
        }
    }
}
