//! The logs of containers, as lines.

use bollard::container::LogOutput;
use bollard::query_parameters::LogsOptions;
use futures_util::stream::{self, BoxStream, StreamExt as _};

use super::Engine;
use crate::plan::ContainerId;

/// One line of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
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
            since: options.since.unwrap_or(0),
            tail: options.tail.map_or_else(|| "all".to_owned(), |lines| lines.to_string()),
            ..Default::default()
        };
        let chunks = self.docker.logs(&container.0, Some(options)).take_while(|chunk| {
            let open = chunk.is_ok();
            async move { open }
        });
        let mut partial = [String::new(), String::new()];
        chunks
            .filter_map(|chunk| async move { chunk.ok() })
            .map(Some)
            .chain(stream::once(async { None }))
            .flat_map(move |chunk| stream::iter(split(&mut partial, chunk)))
            .boxed()
    }

    /// The last lines of a container's log, without waiting for more.
    pub async fn last_lines(&self, container: &ContainerId, lines: usize) -> Vec<String> {
        let options = LogOptions { follow: false, tail: Some(lines), since: None };
        self.logs(container, &options).map(|line| line.text).collect().await
    }
}

/// Cuts a chunk into lines; what has no end yet waits in `partial` (one a stream). The end of the log (`None`) brings
/// out what is left.
fn split(partial: &mut [String; 2], chunk: Option<LogOutput>) -> Vec<LogLine> {
    let Some(chunk) = chunk else {
        return partial
            .iter_mut()
            .enumerate()
            .map(|(index, text)| LogLine { stderr: index == 1, text: std::mem::take(text) })
            .filter(|line| !line.text.is_empty())
            .collect();
    };
    let stderr = matches!(chunk, LogOutput::StdErr { .. });
    let waiting = &mut partial[usize::from(stderr)];
    waiting.push_str(&String::from_utf8_lossy(&chunk.into_bytes()));
    let mut lines = Vec::new();
    while let Some(end) = waiting.find('\n') {
        let rest = waiting.split_off(end + 1);
        let text = std::mem::replace(waiting, rest);
        lines.push(LogLine { stderr, text: text.trim_end_matches(['\n', '\r']).to_owned() });
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_whatever_the_chunks() {
        let out = |text: &str| Some(LogOutput::StdOut { message: text.to_owned().into() });
        let err = |text: &str| Some(LogOutput::StdErr { message: text.to_owned().into() });
        let mut partial = [String::new(), String::new()];
        let mut lines = Vec::new();
        for chunk in [out("one\ntw"), err("warn"), out("o\r\nthree"), err("ing\n"), None] {
            lines.extend(split(&mut partial, chunk).into_iter().map(|line| (line.stderr, line.text)));
        }
        let expected = [(false, "one"), (false, "two"), (true, "warning"), (false, "three")];
        assert_eq!(lines, expected.map(|(stderr, text)| (stderr, text.to_owned())));
    }
}
