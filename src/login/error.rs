//! Why a login came to nothing, in words for a person, with the way out.

use std::fmt;

use crate::issuer::EnrolmentError;
use crate::oauth::{Complaint, Disbelief, IdTokenError, Remedy};

/// Why a login came to nothing.
#[derive(Debug)]
pub enum Error {
    /// A call to the server failed.
    Server(EnrolmentError),
    /// The server sent the browser back with an error.
    Refused(Complaint),
    /// What came back is not believed.
    Disbelieved(Disbelief),
    /// Nobody answered in time.
    Expired,
    /// The id token is wrong.
    IdToken(IdTokenError),
    /// Access was given, but only for now.
    NoRefreshToken(Box<NoRefreshToken>),
}

/// Access without a refresh token, and what is known about why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoRefreshToken {
    /// What was asked for.
    pub(super) asked: String,
    /// What was granted, where the server told.
    pub(super) granted: Option<String>,
    /// What helps.
    pub(super) remedy: Option<Remedy>,
}

impl Error {
    /// Whether the answer belongs to no login of ours: it ends nothing.
    pub fn is_foreign(&self) -> bool {
        matches!(self, Self::Disbelieved(Disbelief::State))
    }

    /// The way out, where it is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Server(error) => error.hint(),
            Self::Refused(complaint) => complaint.words().map(str::to_owned),
            Self::Disbelieved(Disbelief::State) => Some(String::from(
                "an old tab, or somebody else's page: use the address of this login, in one browser",
            )),
            Self::Disbelieved(_) => Some(String::from(
                "do not go on: check `issuer`, and that nobody stands between; then log in once more",
            )),
            Self::Expired => Some(String::from("log in once more, and answer sooner")),
            Self::IdToken(_) => Some(String::from(
                "nothing was stored: check `issuer` and `client_id`, and that nobody stands between",
            )),
            Self::NoRefreshToken(missing) => {
                let remedy = missing.remedy.as_ref();
                remedy.map(|remedy| remedy.steps.join("; "))
            }
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(error) => error.fmt(f),
            Self::Refused(complaint) => write!(f, "the server says {complaint}"),
            Self::Disbelieved(error) => error.fmt(f),
            Self::Expired => f.write_str("nobody answered in time"),
            Self::IdToken(error) => error.fmt(f),
            Self::NoRefreshToken(missing) => missing.fmt(f),
        }
    }
}

impl fmt::Display for NoRefreshToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no refresh token came: the server gave access for now, not offline access")?;
        write!(f, " (asked for `{}`", self.asked)?;
        if let Some(granted) = &self.granted {
            write!(f, ", granted `{granted}`")?;
        }
        f.write_str(")")?;
        let told = self.remedy.iter().flat_map(|remedy| &remedy.told);
        told.into_iter().try_for_each(|told| write!(f, "; {told}"))
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Server(error) => std::error::Error::source(error),
            _ => None,
        }
    }
}

impl From<EnrolmentError> for Error {
    fn from(error: EnrolmentError) -> Self {
        Self::Server(error)
    }
}

impl From<Disbelief> for Error {
    fn from(error: Disbelief) -> Self {
        Self::Disbelieved(error)
    }
}
