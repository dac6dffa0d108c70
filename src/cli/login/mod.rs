//! `bearward login`: asks a person for offline access and puts what comes into the store.

mod words;

use std::future::Future;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Duration, Instant, timeout_at};

use super::stow::{self, Stowed};
use super::terminal::{Said, Terminal};
use super::{Failure, Named, block_on, grant, read, warn};
use crate::config::{self, Config, Period};
use crate::login::{Arrival, CodeLogin, DeviceLogin, Error, Loopback, Obtained, Returned};
use crate::oauth::pasted;
use crate::secret::Secret;

#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    named: Named,
    #[command(flatten)]
    way: Way,
    /// Replace the stored grant also where it is another account's
    #[arg(long)]
    replace: bool,
    /// How long to wait for the browser
    #[arg(long, value_name = "TIME", default_value = "10m")]
    timeout: Period,
}

/// How the person is reached; without any, a browser is opened.
#[derive(Debug, Args)]
#[group(multiple = false)]
struct Way {
    /// Open no browser, only print the address
    #[arg(long)]
    no_browser: bool,
    /// Paste the address that the browser ends on, where it cannot reach this machine
    #[arg(long)]
    paste: bool,
    /// Log in on another device, with a code (RFC 8628)
    #[arg(long)]
    device: bool,
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let config = read(&options.named.file.config)?;
    let section = grant(&config, &options.named.grant)?;
    let login = Login {
        options,
        config: &config,
        section,
        terminal: Terminal::new(),
    };
    block_on(login.run())?
}

/// One login.
struct Login<'a> {
    options: &'a Options,
    config: &'a Config,
    section: &'a config::Grant,
    terminal: Terminal,
}

/// The browser's tab, where there is one that waits for the end.
struct Tab(Option<(Loopback, Returned)>);

impl Login<'_> {
    async fn run(&self) -> Result<(), Failure> {
        // From now on Ctrl-C ends waiting and asking, and never the exchange or the save.
        let _heard = signal(SignalKind::interrupt());
        let name = &self.options.named.grant;
        // Before anybody is sent anywhere: what is obtained must find its place.
        let reach = stow::reach(self.config, name).await?;
        let (obtained, tab) = if self.options.way.device {
            (Box::pin(self.by_device()).await, Tab(None))
        } else if self.options.way.paste {
            (Box::pin(self.by_paste()).await, Tab(None))
        } else {
            Box::pin(self.by_browser()).await?
        };
        let obtained = match obtained {
            Ok(obtained) => obtained,
            Err(failure) => {
                tab.show(&self.failed(&failure)).await;
                return Err(failure);
            }
        };
        let before = reach.subject.as_deref();
        let tab = if another(before, &obtained) && !self.options.replace {
            let note = "The terminal asks whether this account may take the place of another.";
            tab.show(&self.granted(&obtained, Some(note))).await;
            self.agree(before.unwrap_or_default(), &obtained).await?;
            Tab(None)
        } else {
            tab
        };
        let stored = self.store(&obtained).await;
        match &stored {
            Ok(_) => tab.show(&self.granted(&obtained, None)).await,
            Err(failure) => tab.show(&self.failed(failure)).await,
        }
        self.tell(&obtained, &stored?);
        Ok(())
    }

    /// Through a browser on this machine, which comes back by itself.
    async fn by_browser(&self) -> Result<(Result<Obtained, Failure>, Tab), Failure> {
        let redirect = self.section.authorize.redirect_uri.as_ref();
        let mut loopback = Loopback::bind(redirect).map_err(|error| {
            Failure::new(crate::telemetry::chain(&error)).hint(Some(error.hint()))
        })?;
        let login = CodeLogin::begin(self.section, loopback.redirect_uri().to_owned()).await?;
        self.invite(login.address());
        let returned = self.returned(&login, &mut loopback);
        let ends = Instant::now() + self.options.timeout.duration();
        let (returned, arrival) = self.wait("waiting for the browser", ends, returned).await?;
        let obtained = match arrival {
            Ok(arrival) => self.redeem(&login, arrival).await,
            Err(error) => Err(error.into()),
        };
        Ok((obtained, Tab(Some((loopback, returned)))))
    }

    /// The first answer that is ours, whatever it says.
    async fn returned(
        &self,
        login: &CodeLogin<'_>,
        loopback: &mut Loopback,
    ) -> (Returned, Result<Arrival, Error>) {
        loop {
            let returned = loopback.returned().await;
            match login.read(returned.query()) {
                Err(error) if error.is_foreign() => {
                    warn(&format!("\nwarning: {error}; it is not believed"));
                    returned.answer(&self.failed(&error.into()));
                }
                arrival => return (returned, arrival),
            }
        }
    }

    /// Through a browser anywhere; the person brings the answer.
    async fn by_paste(&self) -> Result<Obtained, Failure> {
        let redirect = self.section.authorize.redirect_uri.as_ref();
        // Nobody listens there: the browser ends on an address that it cannot open, and shows it.
        let redirect = redirect.map_or_else(
            || String::from("http://127.0.0.1/callback"),
            ToString::to_string,
        );
        let login = CodeLogin::begin(self.section, redirect.clone()).await?;
        self.invite(login.address());
        warn(&format!(
            "The browser ends on an address that begins with {redirect}\nand may say that it cannot open it. Paste that whole address here:"
        ));
        let ends = Instant::now() + self.options.timeout.duration();
        loop {
            let said = timeout_at(ends, self.terminal.ask(">")).await;
            let text = match said.map_err(|_| Failure::from(Error::Expired))? {
                Said::Line(text) => Secret::new(text),
                Said::Interrupted => return Err(interrupted()),
                Said::Nothing => return Err(no_address()),
            };
            match login.read(&pasted(&text)) {
                Err(error) if error.is_foreign() && self.terminal.asks() => {
                    warn(&format!(
                        "{error}.\nCopy the whole address that the browser ends on."
                    ));
                }
                arrival => return self.redeem(&login, arrival?).await,
            }
        }
    }

    async fn by_device(&self) -> Result<Obtained, Failure> {
        let login = DeviceLogin::begin(self.section).await?;
        self.show(login.code());
        let obtained = self
            .wait(
                "waiting for you to answer there",
                login.ends(),
                login.wait(),
            )
            .await?;
        Ok(obtained?)
    }

    /// Waits for a person, who may also give up.
    async fn wait<T>(
        &self,
        what: &str,
        ends: Instant,
        work: impl Future<Output = T>,
    ) -> Result<T, Failure> {
        // A little later than the work's own end, whose words are better.
        let ends = ends + Duration::from_millis(200);
        tokio::select! {
            done = self.terminal.wait(what, ends, work) => done.ok_or(Failure::from(Error::Expired)),
            _ = tokio::signal::ctrl_c() => Err(interrupted()),
        }
    }

    /// An interruption would lose what the server gives, so none is heeded.
    async fn redeem(&self, login: &CodeLogin<'_>, arrival: Arrival) -> Result<Obtained, Failure> {
        Ok(login.redeem(arrival).await?)
    }

    async fn store(&self, obtained: &Obtained) -> Result<Stowed, Failure> {
        loop {
            let name = &self.options.named.grant;
            let failure = match stow::stow(self.config, name, obtained.record.clone()).await {
                Ok(stored) => return Ok(stored),
                Err(failure) => failure,
            };
            if !self.terminal.asks() {
                return Err(failure);
            }
            failure.tell();
            let again = "The grant is obtained and NOT stored. Mend it and press Enter to try again; `q` gives it up:";
            let said = self.terminal.ask(again).await;
            if !matches!(said, Said::Line(line) if line.trim() != "q") {
                return Err(Failure::new("the grant was not stored")
                    .hint(Some("mend the store and log in once more")));
            }
        }
    }

    /// Another account takes the place of the one before only if somebody says so.
    async fn agree(&self, before: &str, obtained: &Obtained) -> Result<(), Failure> {
        let (name, now) = (&self.options.named.grant, whose(obtained));
        let question = format!(
            "Grant `{name}` belongs to account {before}, and this login is of {now}. Replace it?"
        );
        let agreed = self.terminal.asks() && self.terminal.confirm(&question).await;
        if agreed {
            return Ok(());
        }
        let message = format!(
            "grant `{name}` belongs to account {before}, and this login is of {now}: nothing was stored"
        );
        Err(Failure::new(message).hint(Some(
            "log in with the account of before, or say `--replace`",
        )))
    }
}

/// Nothing that the person gave is kept.
fn interrupted() -> Failure {
    Failure::new("interrupted: nothing was stored")
}

fn no_address() -> Failure {
    Failure::new("standard input has ended and no address came").hint(Some(
        "paste the address that the browser shows, and press Enter",
    ))
}

/// Whether the login is of another account than the stored grant. Where either is not known,
/// nobody can say so.
fn another(before: Option<&str>, obtained: &Obtained) -> bool {
    let now = obtained.record.subject.as_deref();
    matches!((before, now), (Some(before), Some(now)) if before != now)
}

fn whose(obtained: &Obtained) -> &str {
    obtained.account.as_deref().unwrap_or("an unknown account")
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::new(crate::telemetry::chain(&error)).hint(error.hint())
    }
}
