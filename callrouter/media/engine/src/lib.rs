//! The RTP engine of callrouter.
//!
//! A user opens legs, submits commands in batches and takes events from one queue.  Media threads
//! own the sockets and keep the time; writer threads own the disk; neither ever waits for Python.

pub mod answering;
pub mod arrival;
#[cfg(test)]
mod chance;
pub mod clock;
pub mod coded;
pub mod comfort_noise;
pub mod command;
mod concealment;
pub mod counters;
pub mod decode;
pub mod dot_product;
pub mod dtls;
pub mod dtmf;
pub mod ear;
pub mod engine;
pub mod event;
pub mod feed;
pub mod g711;
pub mod ice;
pub mod inbox;
pub mod leg;
pub mod limiter;
pub mod load;
pub mod long_prompt;
pub mod mix_ring;
pub mod mixdown;
pub mod outgoing;
pub mod playback;
pub mod playout;
pub mod ports;
pub mod prompt;
pub mod pure_tone;
pub mod quality;
pub mod rates;
pub mod reception;
pub mod recording;
pub mod regrouping;
pub mod relays;
pub mod reports;
pub mod resample;
pub mod room;
pub mod rooms;
pub mod roster;
pub mod rtcp;
pub mod rtp;
pub mod seat;
pub mod shard;
pub mod source;
pub mod srtp;
#[cfg(test)]
mod synthetic_speech;
pub mod tap;
pub mod telephone_event;
pub mod timeline;
pub mod tone;
pub mod unread;
pub mod voice;
pub mod wav;
pub mod writer;

#[cfg(feature = "python")]
mod python;
