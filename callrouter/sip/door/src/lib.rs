//! The door of SIP over UDP.
//!
//! A thread of its own reads the sockets, whatever Python is doing, and looks at each datagram just
//! long enough to know which queue it belongs into: what belongs to calls, and brings back a tag or
//! branch of ours that shows it, goes first; new calls wait in a small room.  When that room is full,
//! new calls are answered 503 from here, within microseconds, and nothing is remembered of them.  Whatever cannot be read without doubt is
//! handed on as it came: errors are the core's to answer.

pub mod admitted;
pub mod allowance;
pub mod answers;
pub mod banned;
pub mod batch;
pub mod desk;
pub mod door;
pub mod keyed;
pub mod rate;
pub mod recent;
pub mod refusal;
pub mod scan;
pub mod socket;
pub mod source;
pub mod turns;
pub mod via;
pub mod waiting;

#[cfg(feature = "python")]
pub mod python;
