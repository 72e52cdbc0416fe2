//! What a datagram is, by the few headers that say so.
//!
//! This is no parser of SIP: it is sure of a message or it is not.  Whatever is folded, doubled,
//! out of range or merely odd is `Unclear`, and the core reads it.

use std::ops::Range;

use memchr::memmem::find;
use memchr::{memchr, memchr_iter};

use crate::via::{self, Via};

/// Octets of a header block that are looked at, and its lines; what is larger is `Unclear`.
const MAX_HEAD: usize = 8192;
const MAX_LINES: usize = 128;
/// As in the core (`message.py`).
const MAX_BODY: usize = 65536;

#[derive(Debug, PartialEq, Eq)]
pub enum Kind<'a> {
    /// With what its topmost Via seems to have as branch, "" where there is none.
    Response(&'a [u8]),
    /// A request with a To tag.
    InDialog(Request<'a>),
    /// An INVITE without one.
    NewCall(Request<'a>),
    Cancel(Request<'a>),
    /// Another request without To tag.
    Request,
    /// Begins like an INVITE; only the core can say what it is.
    UnclearInvite,
    Unclear,
}

/// The header values that an answer copies, and those that tell requests apart.
#[derive(Debug, PartialEq, Eq)]
pub struct Request<'a> {
    pub method: &'a [u8],
    /// Of the topmost, which has a line of its own.
    pub via: Via<'a>,
    /// All others, one a line.
    pub further_vias: Vec<&'a [u8]>,
    pub from: &'a [u8],
    pub to: &'a [u8],
    /// "" where To has none.
    pub to_tag: &'a [u8],
    pub call_id: &'a [u8],
    pub cseq: &'a [u8],
}

pub fn scan(datagram: &[u8]) -> Kind<'_> {
    // The core skips empty lines ahead of a message, which keep pinholes open.
    let start = datagram.iter().position(|octet| !matches!(octet, b'\r' | b'\n')).unwrap_or(datagram.len());
    let message = &datagram[start..];
    if message.starts_with(b"SIP/2.0 ") {
        return Kind::Response(branch(message).unwrap_or_default());
    }
    let is_invite = message.starts_with(b"INVITE ");
    match request(message) {
        Some(request) if !request.to_tag.is_empty() => Kind::InDialog(request),
        Some(request) if is_invite => Kind::NewCall(request),
        Some(request) if request.method == b"CANCEL" => Kind::Cancel(request),
        Some(_) => Kind::Request,
        None if is_invite => Kind::UnclearInvite,
        None => Kind::Unclear,
    }
}

/// Of the first Via line.  Read with doubt: it means nothing but to who signed it.
fn branch(response: &[u8]) -> Option<&[u8]> {
    let head = &response[..response.len().min(MAX_HEAD)];
    let lines = head.split(|octet| *octet == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let mut lines = lines.take_while(|line| !line.is_empty()).take(MAX_LINES);
    let via = lines.find(|line| {
        let name = trim_end(line.split(|octet| *octet == b':').next().unwrap_or_default());
        name.eq_ignore_ascii_case(b"Via") || name.eq_ignore_ascii_case(b"v")
    })?;
    let start = find(via, b";branch=")? + b";branch=".len();
    let length = via[start..].iter().take_while(|octet| is_token(**octet)).count();
    Some(&via[start..start + length])
}

/// None: not without doubt.
fn request(message: &[u8]) -> Option<Request<'_>> {
    let mut lines = Lines { head: message, next: 0 };
    let method = start_line(lines.next()?)?;
    let mut headers = Headers::default();
    let mut count = 1;
    loop {
        let line = lines.next()?;
        if line.is_empty() {
            break;
        }
        if count > MAX_LINES || lines.next > MAX_HEAD {
            return None;
        }
        headers.add(line)?;
        count += 1;
    }
    let (head, body) = message.split_at(lines.next);
    // Each line has one CR, at its end, and one more ends the block.
    let is_plain = head.iter().fold(true, |plain, octet| plain & is_plain(*octet))
        && memchr_iter(b'\r', head).count() == count + 1;
    if is_plain { headers.into_request(method, body.len()) } else { None }
}

/// The lines of a header block, without the CR and LF that end each.  None: there is no more, or an LF
/// stands alone.
struct Lines<'a> {
    head: &'a [u8],
    next: usize,
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.head.get(self.next..)?;
        let end = memchr(b'\n', rest)?;
        self.next += end + 1;
        rest[..end].strip_suffix(b"\r")
    }
}

fn start_line(line: &[u8]) -> Option<&[u8]> {
    let mut words = line.split(|octet| *octet == b' ');
    let (method, uri, version) = (words.next()?, words.next()?, words.next()?);
    let fits = words.next().is_none() && version == b"SIP/2.0" && !uri.is_empty();
    (fits && !method.is_empty() && method.iter().all(u8::is_ascii_uppercase)).then_some(method)
}

#[derive(Default)]
struct Headers<'a> {
    vias: Vec<&'a [u8]>,
    from: Option<&'a [u8]>,
    to: Option<&'a [u8]>,
    call_id: Option<&'a [u8]>,
    cseq: Option<&'a [u8]>,
    length: Option<&'a [u8]>,
}

impl<'a> Headers<'a> {
    /// None: the line is folded, doubled or no header field.
    fn add(&mut self, line: &'a [u8]) -> Option<()> {
        let colon = memchr(b':', line)?;
        let name = trim_end(&line[..colon]);
        if name.is_empty() || !name.iter().all(|octet| is_token(*octet)) {
            return None;
        }
        let value = trim(&line[colon + 1..]);
        let once = match name.len() {
            1 => match name[0].to_ascii_lowercase() {
                b'v' => return self.add_via(value),
                b'f' => &mut self.from,
                b't' => &mut self.to,
                b'i' => &mut self.call_id,
                b'l' => &mut self.length,
                _ => return Some(()),
            },
            _ if name.eq_ignore_ascii_case(b"Via") => return self.add_via(value),
            _ if name.eq_ignore_ascii_case(b"From") => &mut self.from,
            _ if name.eq_ignore_ascii_case(b"To") => &mut self.to,
            _ if name.eq_ignore_ascii_case(b"Call-ID") => &mut self.call_id,
            _ if name.eq_ignore_ascii_case(b"CSeq") => &mut self.cseq,
            _ if name.eq_ignore_ascii_case(b"Content-Length") => &mut self.length,
            _ => return Some(()),
        };
        (once.replace(value).is_none() && !value.is_empty()).then_some(())
    }

    fn add_via(&mut self, value: &'a [u8]) -> Option<()> {
        self.vias.push(value);
        (!value.is_empty()).then_some(())
    }

    fn into_request(self, method: &'a [u8], body: usize) -> Option<Request<'a>> {
        let (to, call_id, cseq) = (self.to?, self.call_id?, self.cseq?);
        let length = self.length.map_or(Some(body), number)?;
        let is_sound = length <= body
            && body <= MAX_BODY
            && call_id.iter().all(u8::is_ascii_graphic)
            && is_sequence(cseq, method);
        if !is_sound {
            return None;
        }
        let (first, further) = self.vias.split_first()?;
        Some(Request {
            method,
            via: via::read(first)?,
            further_vias: further.to_vec(),
            from: self.from?,
            to,
            to_tag: tag(to)?,
            call_id,
            cseq,
        })
    }
}

/// The tag of a To value, "" where it has none.  None: there is one that may be a part of something
/// else, or something else that may be one.
fn tag(value: &[u8]) -> Option<&[u8]> {
    let Some(named) = named_tag(value) else {
        let parameters = value.iter().rposition(|octet| *octet == b'>').map_or(value, |end| &value[end..]);
        let is_doubtful = parameters.windows(3).any(|word| word.eq_ignore_ascii_case(b"tag"));
        return (!is_doubtful && is_well_quoted(value)).then_some(b"");
    };
    let after = &value[named.end..];
    let end = after.iter().position(|octet| *octet == b';').unwrap_or(after.len());
    let tag = &after[..end];
    let is_sound = !tag.is_empty() && tag.iter().all(|octet| is_token(*octet));
    let is_alone = named_tag(after).is_none() && !after.iter().any(|octet| matches!(octet, b'>' | b'"'));
    (is_sound && is_alone).then_some(tag)
}

/// Nothing is quoted but a display name, without escapes.
fn is_well_quoted(value: &[u8]) -> bool {
    let mut pieces = value.split(|octet| *octet == b'"');
    match (pieces.next(), pieces.next(), pieces.next(), pieces.next()) {
        (Some(_), None, None, None) => true,
        (Some([]), Some(name), Some(_), None) => !name.contains(&b'\\'),
        _ => false,
    }
}

/// Where `;tag=` stands, in capitals or with blanks too.
fn named_tag(value: &[u8]) -> Option<Range<usize>> {
    let mut from = 0;
    while let Some(at) = value[from..].iter().position(|octet| *octet == b';') {
        let start = from + at;
        let name = skip_blanks(value, start + 1);
        if value.get(name..name + 3).is_some_and(|word| word.eq_ignore_ascii_case(b"tag")) {
            let equals = skip_blanks(value, name + 3);
            if value.get(equals) == Some(&b'=') {
                return Some(start..equals + 1);
            }
        }
        from = start + 1;
    }
    None
}

fn skip_blanks(value: &[u8], from: usize) -> usize {
    from + value[from..].iter().take_while(|octet| matches!(octet, b' ' | b'\t')).count()
}

/// `1 INVITE`, of this method.
fn is_sequence(cseq: &[u8], method: &[u8]) -> bool {
    let Some(blank) = cseq.iter().position(|octet| *octet == b' ') else { return false };
    number(&cseq[..blank]).is_some_and(|number| number < 1 << 31) && &cseq[blank + 1..] == method
}

/// Up to ten digits.
pub fn number(digits: &[u8]) -> Option<usize> {
    let fits = (1..=10).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    fits.then(|| digits.iter().fold(0, |sum, digit| sum * 10 + usize::from(digit - b'0')))
}

/// No control character but a tab, or what ends lines.
fn is_plain(octet: u8) -> bool {
    // Without a way out in the middle the compiler looks at many octets at once.
    (octet >= b' ') & (octet != 0x7f) | matches!(octet, b'\t' | b'\r' | b'\n')
}

/// Of RFC 3261 §25.1.
pub fn is_token(octet: u8) -> bool {
    TOKEN[usize::from(octet)]
}

const TOKEN: [bool; 256] = {
    let (others, mut table, mut octet) = (b"-.!%*_+`'~", [false; 256], 0);
    while octet < 256 {
        table[octet] = (octet as u8).is_ascii_alphanumeric();
        octet += 1;
    }
    let mut at = 0;
    while at < others.len() {
        table[others[at] as usize] = true;
        at += 1;
    }
    table
};

fn trim(value: &[u8]) -> &[u8] {
    let start = skip_blanks(value, 0);
    trim_end(&value[start..])
}

fn trim_end(value: &[u8]) -> &[u8] {
    let blanks = value.iter().rev().take_while(|octet| matches!(octet, b' ' | b'\t')).count();
    &value[..value.len() - blanks]
}
