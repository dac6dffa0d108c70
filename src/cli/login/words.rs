//! What a login says: on the terminal, and on the page in the browser.

use jiff::Timestamp;

use super::{Login, Tab};
use crate::cli::stow::Stowed;
use crate::cli::{Failure, say, warn};
use crate::login::{Ending, Failed, Granted, Obtained, Outcome, Scope};
use crate::oauth::DeviceCode;

impl Login<'_> {
    /// Asks the person to open the address, and opens it where that is wanted.
    pub(super) fn invite(&self, address: &str) {
        let (name, terminal) = (&self.options.named.grant, self.terminal);
        let heading = format!("Log in for grant `{name}` at {}", self.server());
        warn(&format!("{}\n", terminal.strong(&heading)));
        if self.options.way.no_browser || self.options.way.paste {
            warn("Open this address in a browser:\n");
            // Data: whoever wants to may pipe it.
            say(address);
        } else {
            warn("A browser opens. If it does not, open this address in one on this machine:\n");
            warn(address);
            if open::that_detached(address).is_err() {
                warn("\n(no browser could be opened here)");
            }
        }
        warn("");
    }

    /// What to do on the other device.
    pub(super) fn show(&self, code: &DeviceCode) {
        let (name, terminal) = (&self.options.named.grant, self.terminal);
        let heading = format!("Log in for grant `{name}` at {}", self.server());
        warn(&format!("{}\n", terminal.strong(&heading)));
        warn("On any device, open this address and enter the code:\n");
        warn(&format!("    {}", code.verification_uri));
        warn(&format!("    {}\n", terminal.strong(&code.user_code)));
        let whole = code.verification_uri_complete.as_ref();
        let whole = whole.unwrap_or(&code.verification_uri);
        if let Some(qr) = terminal.qr(whole) {
            warn(&format!("{qr}\n"));
        }
        if self.terminal.is_plain()
            && let Some(whole) = &code.verification_uri_complete
        {
            warn(&format!(
                "or open this one, which has the code in it:\n\n    {whole}\n"
            ));
        }
    }

    /// The grant is in the store; what it is.
    pub(super) fn tell(&self, obtained: &Obtained, stored: &Stowed) {
        let (terminal, record) = (self.terminal, &obtained.record);
        let name = &self.options.named.grant;
        let line = |what: &str, text: &str| warn(&format!("  {what:<16}  {text}"));
        let heading = format!("Offline access is granted to `{name}`");
        warn(&format!("{}\n", terminal.good(&heading)));
        if let Some(account) = &obtained.account {
            line("account", account);
        }
        line("scope", &names(&obtained.scope, Outcome::Granted));
        let withheld = names(&obtained.scope, Outcome::Withheld);
        if !withheld.is_empty() {
            line(&terminal.doubtful("not granted"), &withheld);
        }
        let unasked = names(&obtained.scope, Outcome::Unasked);
        if !unasked.is_empty() {
            line("also granted", &unasked);
        }
        let ends = ends(record.refresh_expires_at);
        line(
            "refresh token",
            &format!("{}, {ends}", record.refresh_token.fingerprint()),
        );
        let access = record.access_token.as_ref();
        if let Some(end) = access.and_then(|access| access.expires_at) {
            line("access token", &format!("ends {}", whole(end)));
        }
        for (path, value) in &record.captured {
            line(path, &value.to_string());
        }
        line("stored", &self.place(stored));
        for note in &obtained.notes {
            warn(&format!("{}: {note}", terminal.doubtful("note")));
        }
    }

    /// Where the grant is now, and who serves it.
    fn place(&self, stored: &Stowed) -> String {
        let listen = &self.config.admin.listen;
        match stored {
            Stowed::Stored => String::from("yes; no process runs that holds the store"),
            Stowed::Shared => String::from("yes; replicas that run take it up by themselves"),
            Stowed::Serves => format!("by the running process at {listen}, which serves it"),
            Stowed::Kept(why) => format!(
                "by the running process at {listen}, which has no access token of it yet: {why}"
            ),
        }
    }

    /// The page of a grant that came.
    pub(super) fn granted(&self, obtained: &Obtained, note: Option<&str>) -> Ending {
        let record = &obtained.record;
        Ending::Granted(Granted {
            grant: self.options.named.grant.to_string(),
            server: self.server(),
            account: obtained.account.clone(),
            scope: obtained.scope.clone(),
            until: record.refresh_expires_at.map(whole),
            note: note.map(str::to_owned),
        })
    }

    /// The page of a login that came to nothing.
    pub(super) fn failed(&self, failure: &Failure) -> Ending {
        let (what, remedy) = failure.words();
        Ending::Failed(Failed {
            grant: self.options.named.grant.to_string(),
            server: self.server(),
            what: what.to_owned(),
            remedy: remedy.map(str::to_owned),
        })
    }

    /// The server, as a person knows it.
    fn server(&self) -> String {
        let section = self.section;
        let known = section.issuer.as_ref();
        let known = known.or(section.authorization_endpoint.as_ref());
        let known = known.or(section.token_endpoint.as_ref());
        known.map_or_else(|| String::from("the server"), |url| url.host().to_owned())
    }
}

impl Tab {
    /// Shows how it ended, and waits a moment until the browser has it.
    pub(super) async fn show(self, ending: &Ending) {
        if let Some((loopback, returned)) = self.0 {
            returned.answer(ending);
            loopback.close().await;
        }
    }
}

/// The scopes that fared so.
fn names(scope: &[Scope], outcome: Outcome) -> String {
    let fared = scope.iter().filter(|scope| scope.outcome == outcome);
    let names: Vec<&str> = fared.map(|scope| scope.name.as_str()).collect();
    names.join(" ")
}

fn ends(at: Option<Timestamp>) -> String {
    at.map_or_else(
        || String::from("without an end that the server tells"),
        |at| format!("ends {}", whole(at)),
    )
}

/// A moment to the second.
fn whole(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}
