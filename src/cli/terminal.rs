//! What a person sees who waits at a terminal: emphasis, a line that counts down, questions.
//!
//! What always holds: it all goes to standard error; where that is no terminal, or `NO_COLOR` is
//! set, there are no escape codes, no counting down and no QR code, only plain lines.

use std::future::Future;
use std::io::{IsTerminal, Write, stderr, stdin};
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use fast_qr::QRBuilder;
use tokio::sync::oneshot;
use tokio::time::{Instant, interval, timeout_at};

/// The person's side of a command.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terminal {
    look: Look,
    /// Whether somebody is there to be asked.
    asks: bool,
}

/// How much a terminal can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    /// Lines of text.
    Plain,
    /// A line that is written over.
    Moving,
    /// That, and colours.
    Coloured,
}

/// What a person says to a question.
pub(super) enum Said {
    /// A line.
    Line(String),
    /// Nothing: standard input has ended.
    Nothing,
    /// Ctrl-C.
    Interrupted,
}

impl Terminal {
    /// What standard error and standard input are.
    pub(super) fn new() -> Self {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let look = match (stderr().is_terminal() && !dumb, set("NO_COLOR")) {
            (false, _) => Look::Plain,
            (true, true) => Look::Moving,
            (true, false) => Look::Coloured,
        };
        Self {
            look,
            asks: stdin().is_terminal(),
        }
    }

    /// Whether a person is there to answer questions.
    pub(super) fn asks(self) -> bool {
        self.asks
    }

    /// Whether it shows lines of text and nothing else.
    pub(super) fn is_plain(self) -> bool {
        self.look == Look::Plain
    }

    /// What must not be overlooked.
    pub(super) fn strong(self, text: &str) -> String {
        self.styled(Style::new().bold(), text)
    }

    /// What went well.
    pub(super) fn good(self, text: &str) -> String {
        self.styled(AnsiColor::Green.on_default().bold(), text)
    }

    /// What should be looked at.
    pub(super) fn doubtful(self, text: &str) -> String {
        self.styled(AnsiColor::Yellow.on_default().bold(), text)
    }

    /// What is of less interest.
    pub(super) fn faint(self, text: &str) -> String {
        self.styled(Style::new().dimmed(), text)
    }

    fn styled(self, style: Style, text: &str) -> String {
        match self.look {
            Look::Coloured => format!("{style}{text}{style:#}"),
            Look::Plain | Look::Moving => text.to_owned(),
        }
    }

    /// `text` as a QR code that a phone reads from the screen, where there is one.
    pub(super) fn qr(self, text: &str) -> Option<String> {
        if self.look == Look::Plain {
            return None;
        }
        let code = QRBuilder::new(text).build().ok()?;
        // Light on dark whatever the terminal's own colours are, where it has any.
        let style = Style::new()
            .fg_color(Some(AnsiColor::BrightWhite.into()))
            .bg_color(Some(AnsiColor::Black.into()));
        let lines = code.to_str();
        let lines = lines
            .lines()
            .map(|line| format!("    {}", self.styled(style, line)));
        Some(lines.collect::<Vec<_>>().join("\n"))
    }

    /// Waits for `work` until `ends`, and says so all the while; nothing when time is up.
    pub(super) async fn wait<T>(
        self,
        what: &str,
        ends: Instant,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        if self.look == Look::Plain {
            let left = clock(ends.saturating_duration_since(Instant::now()));
            super::warn(&format!("{what} ({left} left; Ctrl-C ends it)"));
            return timeout_at(ends, work).await.ok();
        }
        let mut seconds = interval(Duration::from_secs(1));
        let work = timeout_at(ends, work);
        tokio::pin!(work);
        let _line = Moving;
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done.ok(),
                _ = seconds.tick() => {
                    let left = clock(ends.saturating_duration_since(Instant::now()));
                    let rest = self.faint(&format!("{left} left; Ctrl-C ends it"));
                    write(&format!("{WIPE}{what}  {rest}"));
                }
            }
        }
    }

    /// Asks a question and reads the answer.
    pub(super) async fn ask(self, question: &str) -> Said {
        write(&format!("{} ", self.strong(question)));
        tokio::select! {
            line = line() => line.map_or(Said::Nothing, Said::Line),
            _ = tokio::signal::ctrl_c() => Said::Interrupted,
        }
    }

    /// Asks whether something should be done; no answer is a no.
    pub(super) async fn confirm(self, question: &str) -> bool {
        match self.ask(&format!("{question} [y/N]")).await {
            Said::Line(answer) => matches!(answer.trim(), "y" | "Y" | "yes" | "Yes" | "YES"),
            Said::Nothing | Said::Interrupted => false,
        }
    }
}

/// A line that is written over; gone when this is dropped, also where nobody waits any longer.
struct Moving;

/// Goes to the line's beginning and wipes it.
const WIPE: &str = "\r\x1b[2K";

impl Drop for Moving {
    fn drop(&mut self) {
        write(WIPE);
    }
}

/// A line of standard input, read by a thread that nobody waits for when the command ends.
async fn line() -> Option<String> {
    let (sender, line) = oneshot::channel();
    std::thread::spawn(move || {
        let mut text = String::new();
        let read = stdin().read_line(&mut text).is_ok_and(|length| length > 0);
        let _ = sender.send(read.then_some(text));
    });
    line.await.ok().flatten()
}

fn write(text: &str) {
    let mut to = stderr();
    let _ = to.write_all(text.as_bytes());
    let _ = to.flush();
}

/// A length of time as a clock shows it: `9:05`, `1:00:00`.
fn clock(left: Duration) -> String {
    let seconds = left.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        hours => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_of_time_is_shown_as_a_clock() {
        for (seconds, shown) in [(0, "0:00"), (65, "1:05"), (600, "10:00"), (3605, "1:00:05")] {
            assert_eq!(clock(Duration::from_secs(seconds)), shown);
        }
    }

    #[test]
    fn a_plain_terminal_gets_no_codes() {
        let plain = Terminal {
            look: Look::Plain,
            asks: false,
        };
        assert_eq!(plain.good("done"), "done");
        assert_eq!(plain.qr("https://as.example"), None);
        let moving = Terminal {
            look: Look::Moving,
            asks: false,
        };
        assert!(!moving.qr("https://as.example").unwrap().contains('\x1b'));
    }
}
