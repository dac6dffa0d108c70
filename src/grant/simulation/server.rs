//! Models of authorization servers: what the peers' servers do with a refresh token that is sent
//! once, twice, too late, or never.

use std::time::Duration;

use super::plan::{Nature, Rotates};

/// Real time since the world began.
pub(super) type Time = Duration;

/// A server with all grants that it ever gave to us.
pub(super) struct Server {
    pub(super) nature: Nature,
    refresh: Vec<Refresh>,
    access: Vec<Access>,
    families: Vec<Family>,
}

/// A refresh token; its number is its text.
struct Refresh {
    family: usize,
    /// When it was replaced, and by which.
    spent: Option<(Time, usize)>,
}

struct Access {
    family: usize,
    ends: Time,
    revoked: bool,
}

/// Everything that comes of one login.
struct Family {
    born: Time,
    used: Time,
    revoked: bool,
    newest: usize,
    /// A person gave it to the process, which takes it when it may.
    enrolled: bool,
}

/// What a refresh brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) access: usize,
    /// The new refresh token, where there is one.
    pub(super) refresh: Option<usize>,
}

impl Server {
    pub(super) fn new(nature: Nature) -> Self {
        Self {
            nature,
            refresh: Vec::new(),
            access: Vec::new(),
            families: Vec::new(),
        }
    }

    /// A login: the first refresh token of a new family.
    pub(super) fn login(&mut self, now: Time) -> usize {
        let newest = self.refresh.len();
        self.refresh.push(Refresh {
            family: self.families.len(),
            spent: None,
        });
        self.families.push(Family {
            born: now,
            used: now,
            revoked: false,
            newest,
            enrolled: false,
        });
        newest
    }

    /// A login whose code brings an access token too.
    pub(super) fn enrol(&mut self, now: Time) -> Pair {
        let refresh = self.login(now);
        let family = self.refresh[refresh].family;
        self.families[family].enrolled = true;
        self.grant(family, Some(refresh), now)
    }

    /// Ends all that came of the same login (RFC 7009 §2.1).
    pub(super) fn revoke(&mut self, token: usize) {
        let family = self.refresh[token].family;
        self.families[family].revoked = true;
    }

    /// Takes a refresh token; nothing: `invalid_grant`.
    pub(super) fn redeem(&mut self, token: usize, now: Time) -> Option<Pair> {
        let family = self.refresh[token].family;
        if !self.lives(family, now) {
            return None;
        }
        let (window, replays_same) = match self.nature.rotates {
            Rotates::Never => return Some(self.grant(family, None, now)),
            Rotates::Once => (Duration::ZERO, false),
            Rotates::SamePairWithin(window) => (window, true),
            Rotates::NewPairWithin(window) => (window, false),
        };
        match self.refresh[token].spent {
            Some((at, _)) if now > at + window => {
                self.families[family].revoked |= self.nature.revokes;
                None
            }
            Some((_, successor)) if replays_same => {
                // A successor that was used itself has closed the window.
                self.refresh[successor]
                    .spent
                    .is_none()
                    .then(|| self.grant(family, Some(successor), now))
            }
            spent => {
                let successor = self.refresh.len();
                self.refresh.push(Refresh {
                    family,
                    spent: None,
                });
                let since = spent.map_or(now, |(at, _)| at);
                self.refresh[token].spent = Some((since, successor));
                self.families[family].newest = successor;
                Some(self.grant(family, Some(successor), now))
            }
        }
    }

    fn grant(&mut self, family: usize, refresh: Option<usize>, now: Time) -> Pair {
        self.families[family].used = now;
        if self.nature.old_access_dies {
            let of_family = |access: &&mut Access| access.family == family;
            self.access
                .iter_mut()
                .filter(of_family)
                .for_each(|access| access.revoked = true);
        }
        self.access.push(Access {
            family,
            ends: now + self.nature.life,
            revoked: false,
        });
        Pair {
            access: self.access.len() - 1,
            refresh,
        }
    }

    /// True while a family is good.
    pub(super) fn lives(&self, family: usize, now: Time) -> bool {
        let known = &self.families[family];
        let idle = self.nature.idle.is_some_and(|idle| now > known.used + idle);
        !known.revoked && !idle && now <= self.ends(family)
    }

    /// When a family ends whatever is done.
    pub(super) fn ends(&self, family: usize) -> Time {
        let born = self.families[family].born;
        self.nature
            .absolute
            .map_or(Time::MAX, |absolute| born + absolute)
    }

    /// What an upstream says of an access token.
    pub(super) fn accepts(&self, access: usize, now: Time) -> bool {
        let access = &self.access[access];
        !access.revoked && now <= access.ends && !self.families[access.family].revoked
    }

    /// True for a family that may come after one that is younger.
    pub(super) fn is_enrolled(&self, family: usize) -> bool {
        self.families[family].enrolled
    }

    pub(super) fn family(&self, token: usize) -> usize {
        self.refresh[token].family
    }

    /// True if sending this token now looks like theft.
    pub(super) fn is_spent(&self, token: usize, now: Time) -> bool {
        let window = match self.nature.rotates {
            Rotates::SamePairWithin(window) | Rotates::NewPairWithin(window) => window,
            Rotates::Never | Rotates::Once => Duration::ZERO,
        };
        self.refresh[token]
            .spent
            .is_some_and(|(at, _)| now > at + window)
    }

    /// True if a refresh with this token works, or would in time of need.
    pub(super) fn is_good(&self, token: usize, now: Time) -> bool {
        self.lives(self.refresh[token].family, now) && self.refresh[token].spent.is_none()
    }

    /// True if the server gave out a successor of this token: it must have been lost.
    pub(super) fn was_lost(&self, token: usize) -> bool {
        self.refresh[token].spent.is_some()
    }
}
