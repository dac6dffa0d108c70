//! What an authorization server knows: grants, their refresh tokens, the access tokens of each.
//!
//! Pure: the moment is handed in. It keeps RFC 9700 §4.14.2 as strict servers do: with rotation,
//! a refresh token that was spent before revokes its whole grant, outside the replay window.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::secrets::Secrets;

/// Whether a refresh gives a new refresh token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rotation {
    /// Each refresh spends the token and gives the next.
    #[default]
    Each,
    /// The same token goes on for ever; the answer does not repeat it.
    Never,
}

/// What a spent refresh token gives inside the replay window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Replay {
    /// The pair that it gave before.
    #[default]
    SamePair,
    /// A new pair, beside the other.
    NewPair,
}

/// What a refresh does to the access token before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OldAccess {
    /// It lives to its end.
    #[default]
    Lives,
    /// It dies at once.
    Dies,
}

/// How the server is set up.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub(super) rotation: Rotation,
    pub(super) replay: Replay,
    pub(super) replay_window: Duration,
    pub(super) old_access: OldAccess,
    pub(super) lifetime: Duration,
    pub(super) token_size: usize,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            rotation: Rotation::Each,
            replay: Replay::SamePair,
            replay_window: Duration::ZERO,
            old_access: OldAccess::Lives,
            lifetime: Duration::from_secs(3600),
            token_size: 900,
        }
    }
}

/// The pair that a refresh gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) access_token: String,
    /// Nothing where the server does not rotate.
    pub(super) refresh_token: Option<String>,
    /// When the access token ends.
    pub(super) ends: Instant,
    /// How many refreshes the grant has seen, this one included.
    pub(super) generation: u64,
    /// True where a spent token was taken once more, inside the window.
    pub(super) replayed: bool,
}

/// Why a refresh token gave nothing. On the wire all are `invalid_grant`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It was never given out.
    Unknown,
    /// Its grant had been revoked.
    Revoked,
    /// It had been spent; its grant is revoked now.
    Reused,
}

/// All grants of a server.
#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) rules: Rules,
    secrets: Secrets,
    grants: Vec<Grant>,
    refresh_tokens: HashMap<String, RefreshToken>,
    access_tokens: HashMap<String, AccessToken>,
}

#[derive(Debug)]
struct Grant {
    alive: bool,
    generation: u64,
    newest: String,
    access_token: Option<String>,
}

#[derive(Debug)]
struct RefreshToken {
    grant: usize,
    generation: u64,
    spent: Option<(Instant, Pair)>,
}

#[derive(Debug)]
struct AccessToken {
    grant: usize,
    ends: Instant,
    revoked: bool,
}

impl Ledger {
    /// An empty ledger that tells `secrets` of each token.
    pub(super) fn new(rules: Rules, secrets: Secrets) -> Self {
        Self {
            rules,
            secrets,
            grants: Vec::new(),
            refresh_tokens: HashMap::new(),
            access_tokens: HashMap::new(),
        }
    }

    /// A new grant, as a person's consent makes it; gives its first refresh token.
    pub(super) fn grant(&mut self) -> String {
        let grant = self.grants.len();
        let token = self.new_refresh_token(grant, 0);
        self.grants.push(Grant {
            alive: true,
            generation: 0,
            newest: token.clone(),
            access_token: None,
        });
        token
    }

    /// A new grant with its first pair.
    pub(super) fn enrol(&mut self, now: Instant) -> Pair {
        let grant = self.grants.len();
        let first = self.grant();
        let pair = self.rotate(grant, &first, now);
        let refresh_token = pair.refresh_token.or(Some(first));
        Pair {
            refresh_token,
            ..pair
        }
    }

    /// The access token that was given last, whatever grant it is of.
    pub(super) fn last_access_token(&self) -> Option<String> {
        let mut tokens = self.grants.iter().rev();
        tokens.find_map(|grant| grant.access_token.clone())
    }

    /// The newest refresh token of the first grant, which is made if there is none.
    pub(super) fn refresh_token(&mut self) -> String {
        match self.grants.first() {
            Some(grant) => grant.newest.clone(),
            None => self.grant(),
        }
    }

    /// The generation of a refresh token: how many refreshes came before it.
    pub(super) fn generation(&self, refresh_token: &str) -> Option<u64> {
        Some(self.refresh_tokens.get(refresh_token)?.generation)
    }

    /// Spends `token` at `now` (RFC 6749 §6).
    pub(super) fn refresh(&mut self, token: &str, now: Instant) -> Result<Pair, Refusal> {
        let known = self.refresh_tokens.get(token).ok_or(Refusal::Unknown)?;
        let grant = known.grant;
        if !self.grants.get(grant).is_some_and(|grant| grant.alive) {
            return Err(Refusal::Revoked);
        }
        match &known.spent {
            None => Ok(self.rotate(grant, token, now)),
            Some((at, _)) if now.duration_since(*at) >= self.rules.replay_window => {
                self.revoke(grant);
                Err(Refusal::Reused)
            }
            Some((_, pair)) if self.rules.replay == Replay::SamePair => Ok(Pair {
                replayed: true,
                ..pair.clone()
            }),
            Some(_) => Ok(Pair {
                replayed: true,
                ..self.rotate(grant, token, now)
            }),
        }
    }

    /// True when `access_token` opens the API at `now`.
    pub(super) fn is_live(&self, access_token: &str, now: Instant) -> bool {
        self.access_tokens
            .get(access_token)
            .is_some_and(|token| !token.revoked && now < token.ends)
    }

    /// Takes an access token back before its end; its grant lives on.
    pub(super) fn revoke_access(&mut self, access_token: &str) {
        if let Some(token) = self.access_tokens.get_mut(access_token) {
            token.revoked = true;
        }
    }

    /// The newest access token of the first grant.
    pub(super) fn access_token(&self) -> Option<String> {
        self.grants.first()?.access_token.clone()
    }

    /// Revokes a refresh token with its grant, or an access token alone (RFC 7009 §2.1).
    pub(super) fn revoke_token(&mut self, token: &str) {
        match self.refresh_tokens.get(token) {
            Some(known) => self.revoke(known.grant),
            None => self.revoke_access(token),
        }
    }

    /// Revokes every grant, with all that came of it.
    pub(super) fn revoke_all(&mut self) {
        for grant in 0..self.grants.len() {
            self.revoke(grant);
        }
    }

    fn rotate(&mut self, grant: usize, token: &str, now: Instant) -> Pair {
        let size = self.rules.token_size;
        let access_token = self.secrets.make("at.", size);
        let ends = now + self.rules.lifetime;
        let generation = self.grants.get(grant).map_or(0, |grant| grant.generation) + 1;
        let refresh_token = match self.rules.rotation {
            Rotation::Each => Some(self.new_refresh_token(grant, generation)),
            Rotation::Never => None,
        };
        let pair = Pair {
            access_token: access_token.clone(),
            refresh_token: refresh_token.clone(),
            ends,
            generation,
            replayed: false,
        };
        if let (Some(_), Some(spent)) = (&refresh_token, self.refresh_tokens.get_mut(token)) {
            // The window counts from the first use.
            spent.spent.get_or_insert_with(|| (now, pair.clone()));
        }
        let before = self.grants.get_mut(grant).and_then(|grant| {
            grant.generation = generation;
            grant.newest = refresh_token.unwrap_or_else(|| grant.newest.clone());
            grant.access_token.replace(access_token.clone())
        });
        if let (Some(before), OldAccess::Dies) = (before, self.rules.old_access) {
            self.revoke_access(&before);
        }
        let fresh = AccessToken {
            grant,
            ends,
            revoked: false,
        };
        self.access_tokens.insert(access_token, fresh);
        pair
    }

    fn revoke(&mut self, grant: usize) {
        if let Some(grant) = self.grants.get_mut(grant) {
            grant.alive = false;
        }
        let tokens = self.access_tokens.values_mut();
        for token in tokens.filter(|token| token.grant == grant) {
            token.revoked = true;
        }
    }

    fn new_refresh_token(&mut self, grant: usize, generation: u64) -> String {
        let token = self.secrets.make("rt.", 64);
        let known = RefreshToken {
            grant,
            generation,
            spent: None,
        };
        self.refresh_tokens.insert(token.clone(), known);
        token
    }
}
