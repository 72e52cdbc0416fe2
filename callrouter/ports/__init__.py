"""Every seam between the rooms: the Protocols, and the values that cross them.

A room implements a port without inheriting from it and imports nothing of the room on the other
side.  `callrouter.app` is the only place where an implementation meets its user.

Units, everywhere: `*_ns` is nanoseconds of the monotonic clock (`CLOCK_MONOTONIC`, the one the
media engine stamps its events with), `*_ms` milliseconds, `*_seconds` seconds.  Telephone numbers
are E.164 with `+` where they can be normalised, otherwise as received.
"""

from callrouter.ports.audio import (
    BrowserPeer as BrowserPeer,
    Direction as Direction,
    MediaAddress as MediaAddress,
    NegotiatedAudio as NegotiatedAudio,
    SrtpKeys as SrtpKeys,
)
from callrouter.ports.call import (
    DETECTION_TIMES as DETECTION_TIMES,
    Bridged as Bridged,
    BridgeRecording as BridgeRecording,
    CallStatus as CallStatus,
    ChildCall as ChildCall,
    Connect as Connect,
    DialResult as DialResult,
    DialTarget as DialTarget,
    Digits as Digits,
    Finish as Finish,
    GoTo as GoTo,
    Hangup as Hangup,
    Interrupt as Interrupt,
    LiveCall as LiveCall,
    MachineDetection as MachineDetection,
    Next as Next,
    Outcome as Outcome,
    Played as Played,
    Recorded as Recorded,
    RecordOrder as RecordOrder,
    Referred as Referred,
    Refuse as Refuse,
    Replace as Replace,
    Shutdown as Shutdown,
    Side as Side,
    Transfer as Transfer,
    Verb as Verb,
)
from callrouter.ports.clock import (
    Clock as Clock,
    Ids as Ids,
    Metrics as Metrics,
)
from callrouter.ports.control import (
    CallControl as CallControl,
    NewCall as NewCall,
)
from callrouter.ports.fetching import (
    CookieJar as CookieJar,
    FetchedDocument as FetchedDocument,
    Fetcher as Fetcher,
    FetchOrder as FetchOrder,
    Parameters as Parameters,
    Speech as Speech,
)
from callrouter.ports.history import (
    MOST_HOPS as MOST_HOPS,
    History as History,
)
from callrouter.ports.leg_id import (
    LegId as LegId,
)
from callrouter.ports.media import (
    Media as Media,
    MixDown as MixDown,
    OpenedLeg as OpenedLeg,
)
from callrouter.ports.media_commands import (
    Announce as Announce,
    AudioFile as AudioFile,
    ClearFeed as ClearFeed,
    CloseLeg as CloseLeg,
    DetectAnswer as DetectAnswer,
    EnterRoom as EnterRoom,
    FeedAudio as FeedAudio,
    FeedDigit as FeedDigit,
    FeedMark as FeedMark,
    Hold as Hold,
    Join as Join,
    LeaveRoom as LeaveRoom,
    Listen as Listen,
    ListeningCommand as ListeningCommand,
    MediaCommand as MediaCommand,
    OpenFeed as OpenFeed,
    Part as Part,
    PauseRecording as PauseRecording,
    Play as Play,
    PlayDigits as PlayDigits,
    PlayItem as PlayItem,
    PlayPrompt as PlayPrompt,
    PlaySilence as PlaySilence,
    PlayTone as PlayTone,
    PromptId as PromptId,
    RecordingCommand as RecordingCommand,
    RecordSource as RecordSource,
    Resume as Resume,
    ResumeRecording as ResumeRecording,
    RoomCommand as RoomCommand,
    RoomId as RoomId,
    SendDigits as SendDigits,
    SetMember as SetMember,
    SetRemote as SetRemote,
    StartRecording as StartRecording,
    StartTap as StartTap,
    StopAnnouncement as StopAnnouncement,
    StopDetecting as StopDetecting,
    StopPlay as StopPlay,
    StopRecording as StopRecording,
    StopTap as StopTap,
    StreamCommand as StreamCommand,
    Token as Token,
)
from callrouter.ports.media_events import (
    AnswerDetected as AnswerDetected,
    Answerer as Answerer,
    AudioLost as AudioLost,
    AudioStarted as AudioStarted,
    DigitReceived as DigitReceived,
    DigitsSent as DigitsSent,
    LegClosed as LegClosed,
    MarkReached as MarkReached,
    MediaEvent as MediaEvent,
    MediaSink as MediaSink,
    NotSecured as NotSecured,
    PlayEnd as PlayEnd,
    PlayEnded as PlayEnded,
    RecordingEnd as RecordingEnd,
    RecordingEnded as RecordingEnded,
    Secured as Secured,
    SpeakerChanged as SpeakerChanged,
    TapEnded as TapEnded,
    TapFrame as TapFrame,
    TapFrames as TapFrames,
    VoiceStarted as VoiceStarted,
    VoiceStopped as VoiceStopped,
)
from callrouter.ports.media_lines import (
    CloseLine as CloseLine,
    JoinLines as JoinLines,
    LineCommand as LineCommand,
    LineId as LineId,
    OpenedLine as OpenedLine,
    SetLine as SetLine,
)
from callrouter.ports.passing import (
    AUDIO_ALONE as AUDIO_ALONE,
    LineEvent as LineEvent,
    LinesAnswered as LinesAnswered,
    LinesOffered as LinesOffered,
    LinesReset as LinesReset,
    LinesRetracted as LinesRetracted,
    PassedLine as PassedLine,
    Passing as Passing,
)
from callrouter.ports.signalling import (
    Answered as Answered,
    Confirmed as Confirmed,
    EndCause as EndCause,
    Ended as Ended,
    Failed as Failed,
    Held as Held,
    InfoDigit as InfoDigit,
    KeysRefused as KeysRefused,
    MediaChanged as MediaChanged,
    OutgoingCall as OutgoingCall,
    Redirect as Redirect,
    ReferProgress as ReferProgress,
    Ringing as Ringing,
    Route as Route,
    SignalEvent as SignalEvent,
    Signalling as Signalling,
    SignalSink as SignalSink,
    SipLeg as SipLeg,
    TracedMessage as TracedMessage,
    TransferRequested as TransferRequested,
)
