//! Owns W3C Trace Context (Recommendation, level 1): reading a `traceparent` strictly and writing the one passed on. Starts
//! a trace where a request brings none.
//!
//! The SDK's `TraceContextPropagator` reads it too, and more: it takes spaces around it, ids with fewer digits, a sign
//! before the flags and a dash at the end, none of which section 3.2.2 allows; and it makes a list, a context and a trace
//! state of every header, where this allocates nothing.

use std::fmt;

use crate::spans::Caller;

/// A trace and our place in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    trace_id: TraceId,
    span_id: u64,
    flags: u8,
    /// The span of the header that is proceeded with.
    caller: Option<u64>,
}

/// `00-` 32 digits `-` 16 digits `-` 2 digits: section 3.2.2.
const LENGTH: usize = 55;

/// The one flag that version 00 defines: section 3.2.2.3.1.
const SAMPLED: u8 = 1;

impl TraceContext {
    /// A new trace, not sampled.
    pub fn start() -> Self {
        Self { trace_id: TraceId::random(), span_id: fastrand::u64(1..), flags: 0, caller: None }
    }

    /// Goes on with the trace of a request's `traceparent`, under a span of its own. `None` when the header breaks any rule
    /// of section 3.2.2: it is then to be ignored.
    pub fn proceed(header: &str) -> Option<Self> {
        let bytes = header.as_bytes();
        let version = hex(bytes.get(..2)?)?;
        let known = version == 0 && bytes.len() == LENGTH;
        let later =
            version != 0 && version != 0xff && (bytes.len() == LENGTH || bytes.get(LENGTH) == Some(&b'-'));
        let dashes = [2, 35, 52].iter().all(|place| bytes.get(*place) == Some(&b'-'));
        if !dashes || !(known || later) {
            return None;
        }
        let trace_id = TraceId(*bytes[3..].first_chunk()?);
        let parent = hex(&bytes[36..52])?;
        let flags = hex(&bytes[53..55])?;
        if hex(&trace_id.0)? == 0 || parent == 0 {
            return None;
        }
        Some(Self {
            trace_id,
            span_id: fastrand::u64(1..),
            flags: u8::try_from(flags).ok()? & SAMPLED,
            caller: Some(u64::try_from(parent).ok()?),
        })
    }

    /// Whose trace it is that is gone on with; `None`: a trace of our own.
    pub fn caller(&self) -> Option<Caller> {
        let trace_id = hex(&self.trace_id.0)?;
        self.caller.map(|span_id| Caller { trace_id, span_id, sampled: self.flags & SAMPLED != 0 })
    }

    /// The same place, under the ids of a span that was begun for it.
    #[must_use]
    pub fn with_span(self, span: Caller) -> Self {
        let flags = if span.sampled { SAMPLED } else { 0 };
        Self { trace_id: TraceId::of(span.trace_id), span_id: span.span_id, flags, ..self }
    }

    /// The trace's id, to be written as 32 digits.
    pub fn trace_id(&self) -> TraceId {
        self.trace_id
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "00-{}-{:016x}-{:02x}", self.trace_id.as_str(), self.span_id, self.flags)
    }
}

/// A trace's id: 32 lower-case hexadecimal digits, kept as text because it is only ever written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceId([u8; 32]);

impl TraceId {
    fn random() -> Self {
        Self::of(fastrand::u128(1..))
    }

    fn of(number: u128) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 32];
        for (pair, byte) in text.chunks_exact_mut(2).zip(number.to_be_bytes()) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 0xf)];
        }
        Self(text)
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// Lower-case hexadecimal digits only.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0u128, |number, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(value))
    })
}

#[cfg(test)]
mod tests {
    use super::{Caller, TraceContext};

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

    #[test]
    fn a_valid_header_is_proceeded_with_under_a_new_span() {
        for (header, flags) in [
            (format!("00-{TRACE}-b7ad6b7169203331-01"), "01"),
            (format!("00-{TRACE}-b7ad6b7169203331-00"), "00"),
            (format!("00-{TRACE}-b7ad6b7169203331-ff"), "01"),
            (format!("cc-{TRACE}-b7ad6b7169203331-01"), "01"),
            (format!("cc-{TRACE}-b7ad6b7169203331-01-what-comes"), "01"),
        ] {
            let text = TraceContext::proceed(&header).unwrap_or_else(|| panic!("{header}")).to_string();
            assert!(text.starts_with(&format!("00-{TRACE}-")) && text.ends_with(flags), "{header}: {text}");
            assert!(!text.contains("b7ad6b7169203331"), "{header}: {text}");
            assert_eq!(
                TraceContext::proceed(&text).map(|trace| trace.trace_id().as_str().to_owned()).as_deref(),
                Some(TRACE)
            );
        }
    }

    #[test]
    fn a_header_that_breaks_a_rule_is_none() {
        for header in [
            "",
            "00",
            &format!("00-{TRACE}-b7ad6b7169203331"),
            &format!("00-{TRACE}-b7ad6b7169203331-0"),
            &format!("00-{TRACE}-b7ad6b7169203331-01-"),
            &format!("00-{TRACE}-b7ad6b7169203331-01 "),
            &format!("ff-{TRACE}-b7ad6b7169203331-01"),
            &format!("cc-{TRACE}-b7ad6b7169203331-01."),
            &format!("00-{}-b7ad6b7169203331-01", TRACE.to_uppercase()),
            &format!("00-{}-b7ad6b7169203331-01", "0".repeat(32)),
            &format!("00-{TRACE}-{}-01", "0".repeat(16)),
            &format!("00_{TRACE}_b7ad6b7169203331_01"),
            &format!("0x-{TRACE}-b7ad6b7169203331-01"),
            "00-00000000000000000000000000000é00-b7ad6b7169203331-01",
        ] {
            assert_eq!(TraceContext::proceed(header), None, "{header:?}");
        }
    }

    #[test]
    fn a_span_takes_the_place_and_the_caller_stays() {
        let trace = TraceContext::proceed(&format!("00-{TRACE}-b7ad6b7169203331-01")).expect("valid");
        let caller = trace.caller().expect("a caller");
        assert_eq!((caller.span_id, caller.sampled), (0xb7ad_6b71_6920_3331, true));
        let span = Caller { span_id: 0x2a, sampled: false, ..caller };
        assert_eq!(trace.with_span(span).to_string(), format!("00-{TRACE}-000000000000002a-00"));
        assert_eq!(trace.with_span(span).caller().map(|caller| caller.span_id), Some(caller.span_id));
        assert_eq!(TraceContext::start().caller(), None);
    }

    #[test]
    fn new_traces_differ() {
        assert_ne!(TraceContext::start().trace_id(), TraceContext::start().trace_id());
    }
}
