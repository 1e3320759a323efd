//! The logs of containers, as lines.

use std::time::SystemTime;

use bollard::container::LogOutput;
use bollard::query_parameters::LogsOptions;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt as _};

use super::Engine;
use crate::plan::ContainerId;

/// One line of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// When the engine took it in; `None` from an engine that does not say.
    pub at: Option<SystemTime>,
    /// Whether it went to standard error.
    pub stderr: bool,
    /// The line, without its end.
    pub text: String,
}

/// Which part of a log.
#[derive(Debug, Clone, Default)]
pub struct LogOptions {
    /// Whether to wait for more until the container ends.
    pub follow: bool,
    /// Only so many last lines; all when `None`.
    pub tail: Option<usize>,
    /// Only lines since this time (seconds since the epoch); all when `None`.
    pub since: Option<i32>,
}

impl Engine {
    /// A container's log as lines. The stream ends when the log does, or the connection.
    pub fn logs(&self, container: &ContainerId, options: &LogOptions) -> BoxStream<'static, LogLine> {
        let options = LogsOptions {
            follow: options.follow,
            stdout: true,
            stderr: true,
            timestamps: true,
            since: options.since.unwrap_or(0),
            tail: options.tail.map_or_else(|| "all".to_owned(), |lines| lines.to_string()),
            ..Default::default()
        };
        let chunks = self.docker.logs(&container.0, Some(options)).take_while(|chunk| {
            let open = chunk.is_ok();
            async move { open }
        });
        let mut partial = [Partial::default(), Partial::default()];
        chunks
            .filter_map(|chunk| async move { chunk.ok() })
            .map(Some)
            .chain(stream::once(async { None }))
            .flat_map(move |chunk| stream::iter(split(&mut partial, chunk)))
            .boxed()
    }

    /// The last lines of a container's log, without waiting for more.
    pub fn last_lines<'a>(&'a self, container: &'a ContainerId, lines: usize) -> BoxFuture<'a, Vec<String>> {
        Box::pin(async move {
            let options = LogOptions { follow: false, tail: Some(lines), since: None };
            self.logs(container, &options).map(|line| line.text).collect().await
        })
    }
}

/// What has come of a line whose end has not.
#[derive(Debug, Default)]
struct Partial {
    at: Option<SystemTime>,
    text: String,
}

/// Cuts a chunk into lines; what has no end yet waits in `partial` (one a stream). The end of the log (`None`) brings
/// out what is left.
fn split(partial: &mut [Partial; 2], chunk: Option<LogOutput>) -> Vec<LogLine> {
    let Some(chunk) = chunk else {
        return partial
            .iter_mut()
            .map(std::mem::take)
            .enumerate()
            .map(|(index, waiting)| LogLine { at: waiting.at, stderr: index == 1, text: waiting.text })
            .filter(|line| !line.text.is_empty())
            .collect();
    };
    let stderr = matches!(chunk, LogOutput::StdErr { .. });
    let waiting = &mut partial[usize::from(stderr)];
    let bytes = chunk.into_bytes();
    let chunk = String::from_utf8_lossy(&bytes);
    let mut lines = Vec::new();
    for piece in chunk.split_inclusive('\n') {
        // The engine writes the time before each message; a long line is several.
        let (at, piece) = timestamp(piece);
        waiting.at = waiting.at.or(at);
        waiting.text.push_str(piece);
        if piece.ends_with('\n') {
            let Partial { at, text } = std::mem::take(waiting);
            lines.push(LogLine { at, stderr, text: text.trim_end_matches(['\n', '\r']).to_owned() });
        }
    }
    lines
}

/// The time that a message begins with, and the rest.
fn timestamp(text: &str) -> (Option<SystemTime>, &str) {
    let Some((time, rest)) = text.split_once(' ') else { return (None, text) };
    match humantime::parse_rfc3339(time) {
        Ok(time) => (Some(time), rest),
        Err(_) => (None, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_whatever_the_chunks() {
        let second = |second| SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(second);
        let out = |text: &str| Some(LogOutput::StdOut { message: text.to_owned().into() });
        let err = |text: &str| Some(LogOutput::StdErr { message: text.to_owned().into() });
        let mut partial = [Partial::default(), Partial::default()];
        let mut lines = Vec::new();
        let chunks = [
            out("1970-01-01T00:00:01.000000000Z one\n1970-01-01T00:00:02.000000000Z tw"),
            err("1970-01-01T00:00:03.000000000Z warn"),
            out("1970-01-01T00:00:04.000000000Z o\r\n"),
            out("2 times no time"),
            err("1970-01-01T00:00:05.000000000Z ing\n"),
            None,
        ];
        for chunk in chunks {
            lines
                .extend(split(&mut partial, chunk).into_iter().map(|line| (line.at, line.stderr, line.text)));
        }
        let expected = [
            (Some(second(1)), false, "one"),
            (Some(second(2)), false, "two"),
            (Some(second(3)), true, "warning"),
            (None, false, "2 times no time"),
        ];
        assert_eq!(lines, expected.map(|(at, stderr, text)| (at, stderr, text.to_owned())));
    }
}
