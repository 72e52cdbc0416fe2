//! A leg whose far end is a browser: one port for connectivity checks, the handshake, audio and
//! reports (RFC 8834, RFC 7983).
//!
//! The far end is at the address that its checks have chosen, and nowhere else: nothing but answers
//! to checks goes anywhere before, and no audio before the handshake has given its keys.

use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

use crate::clock::SECOND;
use crate::command;
use crate::dtls::{Done, Job, Progress, Session, Stage, Terms, Worker};
use crate::event::{EventSender, Told, Unsecured};
use crate::ice::{Lite, MAX_ANSWER};
use crate::leg::Leg;
use crate::source::Source;

/// Datagrams of a handshake that wait for their turn; a flight has no more than half of it.
const MAX_WAITING: usize = 16;
/// Datagrams of strangers in 20 ms that are a flood: it would push the browser's own out of the
/// socket's buffer …
const FLOOD: u32 = 16;
/// … so for this long nobody else is heard, not even the browser from a new address.
const SECLUSION: i64 = 2 * SECOND;

pub struct Browser {
    ice: Lite,
    terms: Terms,
    handshake: Handshake,
    waiting: Vec<Vec<u8>>,
    back: (Sender<Done>, Receiver<Done>),
    is_keyed: bool,
    /// The far end has taken its leave.
    has_left: bool,
    /// What does not flow has been told of.
    is_told: bool,
    /// Datagrams from elsewhere than the chosen address since the last tick.
    strange: u32,
    secluded_until_ns: i64,
}

enum Handshake {
    /// Not begun.
    Still,
    Here {
        session: Box<Session>,
        wake: Option<Instant>,
    },
    /// With the worker.
    Away,
    /// It failed, or there is nobody to go on with.
    Over,
}

/// What a datagram of a browser can be (RFC 7983 §7, RFC 5761 §4).
#[derive(Debug, PartialEq, Eq)]
enum Content {
    Check,
    Handshake,
    Audio,
    Report,
    Unknown,
}

fn content_of(datagram: &[u8]) -> Content {
    match (datagram.first(), datagram.get(1)) {
        (Some(0..=3), _) => Content::Check,
        (Some(20..=63), _) => Content::Handshake,
        (Some(128..=191), Some(192..=223)) => Content::Report,
        (Some(128..=191), _) => Content::Audio,
        _ => Content::Unknown,
    }
}

impl Browser {
    fn new(agreed: &command::Browser) -> Self {
        Self {
            ice: Lite::new(agreed.credentials.clone()),
            terms: agreed.terms.clone(),
            handshake: Handshake::Still,
            waiting: vec![],
            back: channel(),
            is_keyed: false,
            has_left: false,
            is_told: false,
            strange: 0,
            secluded_until_ns: i64::MIN,
        }
    }

    /// Where audio may go now.  Keys that are there stay good whatever comes in the handshake's
    /// name later: anybody can write that, but for the far end's leave.
    fn target(&self, now_ns: i64) -> Option<SocketAddr> {
        self.ice.target(now_ns).filter(|_| self.is_keyed && !self.has_left)
    }

    /// Whether the far end, with which all is agreed, has let its consent run out.
    fn is_abandoned(&self, now_ns: i64) -> bool {
        self.is_keyed && self.ice.target(now_ns).is_none()
    }

    /// Have the worker begin or go on with the handshake where there is something to do.
    fn pursue(&mut self, worker: &Worker, now: Instant) {
        if self.ice.nominated().is_none() {
            return;
        }
        let has_come = !self.waiting.is_empty();
        let is_due = match &self.handshake {
            Handshake::Still => has_come || self.terms.is_client,
            Handshake::Here { wake, .. } => has_come || wake.is_some_and(|wake| wake <= now),
            Handshake::Away | Handshake::Over => false,
        };
        if !is_due {
            return;
        }
        let stage = match std::mem::replace(&mut self.handshake, Handshake::Away) {
            Handshake::Here { session, .. } => Stage::Begun(session),
            _ => Stage::New(self.terms.clone()),
        };
        let datagrams = std::mem::take(&mut self.waiting);
        if !worker.send(Job { stage, datagrams, back: self.back.0.clone() }) {
            self.handshake = Handshake::Over;
        }
    }

    /// What the worker has done.
    fn returned(&mut self) -> Option<Progress> {
        let (session, progress) = self.back.1.try_recv().ok()?;
        self.has_left |= progress.is_closed;
        self.handshake = match session {
            Some(session) if progress.failure.is_none() && !progress.is_closed => {
                Handshake::Here { session, wake: progress.wake }
            }
            _ => Handshake::Over,
        };
        Some(progress)
    }
}

impl Leg {
    pub(super) fn set_browser(&mut self, agreed: Option<&command::Browser>, now_ns: i64) {
        let Some(agreed) = agreed else {
            self.browser = None;
            return;
        };
        match &mut self.browser {
            Some(browser) if browser.terms == agreed.terms => browser.ice.renew(&agreed.credentials),
            // Another certificate or role is another handshake, and so are other keys (RFC 8842 §4).
            known => {
                *known = Some(Box::new(Browser::new(agreed)));
                self.protection = None;
            }
        }
        if let Some(remote) = &mut self.remote {
            remote.source = Source::unknown();
        }
        // It may come from anywhere now.
        self.ports.widen();
        self.aim(now_ns);
    }

    /// Let audio go where the browser is now.
    fn aim(&mut self, now_ns: i64) {
        if let (Some(browser), Some(remote)) = (&self.browser, &mut self.remote) {
            remote.source.settle(browser.target(now_ns));
        }
    }

    /// Sort a datagram; the length of the audio packet that it was, None: it was none for us.
    pub(super) fn open_from_browser(
        &mut self,
        datagram: &mut [u8],
        from: SocketAddr,
        now_ns: i64,
    ) -> Option<usize> {
        let browser = self.browser.as_mut()?;
        let is_chosen = browser.ice.nominated() == Some(from);
        browser.strange += u32::from(!is_chosen);
        match content_of(datagram) {
            Content::Check => self.answer_check(datagram, from, now_ns),
            Content::Handshake if is_chosen => {
                if browser.waiting.len() < MAX_WAITING {
                    browser.waiting.push(datagram.to_vec());
                }
            }
            Content::Handshake => self.counters.handshake_strangers += 1,
            Content::Unknown => self.counters.garbage += 1,
            // Before the handshake is through, or after consent has run out, nobody is heard.
            Content::Audio | Content::Report if browser.target(now_ns) != Some(from) => {
                let counters = &mut self.counters;
                *(if is_chosen { &mut counters.unexpected } else { &mut counters.strangers }) += 1;
            }
            Content::Audio => return self.open_audio(datagram),
            Content::Report => self.open_report(datagram),
        }
        None
    }

    fn answer_check(&mut self, datagram: &[u8], from: SocketAddr, now_ns: i64) {
        let Some(browser) = &mut self.browser else { return };
        let mut bytes = [0; MAX_ANSWER];
        let Some(answer) = browser.ice.check(datagram, from, now_ns, &mut bytes) else {
            self.counters.stun += 1;
            return;
        };
        self.counters.checks += 1;
        // An answer that cannot be sent is as good as one that is lost.
        let _ = self.ports.rtp.send_to(&bytes[..answer.length], from);
        self.aim(now_ns);
    }

    fn open_audio(&mut self, datagram: &mut [u8]) -> Option<usize> {
        let Some(protection) = &mut self.protection else {
            self.counters.unexpected += 1;
            return None;
        };
        match protection.heard.rtp(datagram) {
            Ok(length) => Some(length),
            Err(rejected) => {
                *rejected.counter(&mut self.counters) += 1;
                None
            }
        }
    }

    fn open_report(&mut self, datagram: &mut [u8]) {
        let Some(protection) = &mut self.protection else {
            self.counters.unexpected += 1;
            return;
        };
        let rate = 8000 * self.out.scale();
        match protection.heard.rtcp(datagram) {
            Ok(length) => self.reports.hear(&datagram[..length], (self.out.ssrc, rate), &mut self.counters),
            Err(rejected) => *rejected.counter(&mut self.counters) += 1,
        }
    }

    /// What goes by the clock: the handshake's steps, floods, and consent that runs out.
    pub(super) fn tend_browser(&mut self, now_ns: i64, events: &EventSender) {
        self.seclude(now_ns);
        let Some(browser) = &mut self.browser else { return };
        if browser.is_abandoned(now_ns) {
            self.tell_unsecured(Unsecured::ByConsent, now_ns, events);
        }
        let Some(browser) = &mut self.browser else { return };
        if let Some(progress) = browser.returned() {
            self.take_progress(progress, now_ns, events);
        }
        if let (Some(browser), Some(worker)) = (&mut self.browser, &self.policy.handshakes) {
            browser.pursue(worker, Instant::now());
        }
        self.aim(now_ns);
    }

    fn take_progress(&mut self, progress: Progress, now_ns: i64, events: &EventSender) {
        let Some(browser) = &mut self.browser else { return };
        for packet in &progress.packets {
            if let Some(to) = browser.ice.target(now_ns) {
                // Lost or refused, it is sent again.
                let _ = self.ports.rtp.send_to(packet, to);
            }
        }
        if let Some(keys) = progress.keys {
            browser.is_keyed = true;
            let suite = keys.send.suite();
            self.protect(Some(&keys), false);
            // From here on there is something to miss.
            self.heard_ns = now_ns;
            events.send(self.id, now_ns, Told::Secured { suite });
        } else if let Some(failure) = progress.failure.filter(|_| !browser.is_keyed) {
            self.protection = None;
            self.tell_unsecured(Unsecured::ByHandshake(failure), now_ns, events);
        }
        if progress.is_closed {
            self.tell_unsecured(Unsecured::ByLeave, now_ns, events);
        }
    }

    fn tell_unsecured(&mut self, why: Unsecured, now_ns: i64, events: &EventSender) {
        let Some(browser) = &mut self.browser else { return };
        if !std::mem::replace(&mut browser.is_told, true) {
            events.send(self.id, now_ns, Told::NotSecured { why });
        }
    }

    /// In a flood hear the browser alone, for a while.
    fn seclude(&mut self, now_ns: i64) {
        let Some(browser) = &mut self.browser else { return };
        let is_flood = std::mem::take(&mut browser.strange) >= FLOOD;
        match browser.target(now_ns) {
            Some(target) if is_flood => {
                browser.secluded_until_ns = now_ns + SECLUSION;
                self.ports.narrow(target);
            }
            Some(_) if now_ns < browser.secluded_until_ns => {}
            _ => self.ports.widen(),
        }
    }
}

#[cfg(test)]
mod tests;
