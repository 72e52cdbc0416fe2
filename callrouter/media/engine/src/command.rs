//! What the engine can be told to do with a leg.

use std::net::SocketAddr;

use crate::event::LegId;
use crate::g711::Codec;
use crate::playback::Item;
use crate::recording::RecordingPlan;
use crate::srtp::Keys;
use crate::telephone_event::KeySet;

/// What offer and answer agreed on.
#[derive(Clone, Debug)]
pub struct Negotiated {
    pub remote: SocketAddr,
    pub remote_rtcp: Option<SocketAddr>,
    pub codec: Codec,
    pub payload_type: u8,
    pub event_type: Option<u8>,
    pub may_send: bool,
    pub may_receive: bool,
    /// Both ends' keys; None: RTP as it is.
    pub keys: Option<Keys>,
}

#[derive(Debug)]
pub enum Action {
    SetRemote(Negotiated),
    Play { token: u64, items: Vec<Item>, loops: u32, stop_keys: KeySet },
    StopPlay,
    Join { with: LegId },
    Part,
    StartRecording(RecordingPlan),
    StopRecording { token: u64 },
    SendDigits { token: u64, keys: String },
    FeedDigit { key: char, duration_ms: u32 },
    Close,
}

#[derive(Debug)]
pub struct Command {
    pub leg: LegId,
    pub action: Action,
}

impl Command {
    /// The other legs this command needs on its leg's thread.
    pub fn companions(&self) -> Vec<LegId> {
        match &self.action {
            Action::Join { with } => vec![*with],
            Action::StartRecording(plan) => {
                plan.channels.iter().flatten().map(|track| track.leg).filter(|leg| *leg != self.leg).collect()
            }
            _ => vec![],
        }
    }
}
