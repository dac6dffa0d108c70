//! Spending the refresh token: the intent before, and what it means when it stays open.

use super::event::{Decision, Notice, Now};
use super::state::{Machine, Phase};
use crate::secret::Secret;
use crate::store::{Intent, Record};

impl Machine {
    /// Writes down what is about to be spent.
    pub(super) fn intend(&mut self, now: Now) -> Vec<Decision> {
        let last_resort = self.intent_open() && self.rotates();
        let by = self.settings.identity.clone();
        let Some(record) = self.record.as_mut() else {
            return Vec::new();
        };
        let intent = Intent {
            refresh_token: record.refresh_token.hash(),
            by,
            since: now.wall,
        };
        self.prior_intent = record.intent.replace(intent);
        record.generation += 1;
        let mut decisions = Vec::new();
        if last_resort {
            decisions.push(Decision::Notice(Notice::LastResort));
        }
        decisions.extend(self.save(Phase::Intending));
        decisions
    }

    pub(super) fn ask(&mut self) -> Vec<Decision> {
        let Some(record) = &self.record else {
            return Vec::new();
        };
        self.stored = Some(record.generation);
        self.phase = Phase::Asking;
        vec![Decision::Refresh(record.refresh_token.clone())]
    }

    /// Undoes [`Machine::intend`] where its save failed: nothing was sent.
    pub(super) fn withdraw_intent(&mut self) {
        if let Some(record) = self.record.as_mut() {
            record.intent = self.prior_intent.take();
            record.generation -= 1;
        }
    }

    /// True when the refresh token may already be spent: an intent to spend it was never closed.
    pub(super) fn intent_open(&self) -> bool {
        self.record.as_ref().is_some_and(|record| {
            let intent = record
                .intent
                .as_ref()
                .map(|intent| intent.refresh_token.as_str());
            intent.is_some_and(|hash| hash == record.refresh_token.hash())
        })
    }

    /// False once a refresh has shown that the server leaves the refresh token as it is.
    pub(super) fn rotates(&self) -> bool {
        self.record
            .as_ref()
            .is_none_or(|record| record.rotated_at.is_some() || record.refreshed_at.is_none())
    }

    /// Puts the next attempt off until the access token has ended, where the refresh token may be
    /// spent and the server rotates.
    pub(super) fn wait_for_the_end(&mut self) {
        let serving = self.token.filter(|token| !token.rejected);
        if self.rotates()
            && let Some(ends) = serving.and_then(|token| token.ends)
        {
            self.retry_at = Some(ends.max(self.retry_at.unwrap_or_default()));
        }
    }

    /// Begins a chain with the seed, unless the stored chain began with this very seed or is not
    /// known to have begun with another: then the stored chain wins.
    pub(super) fn take_seed(&mut self, seed: Secret<String>, now: Now) -> bool {
        let hash = seed.hash();
        if let Some(record) = self.record.as_mut()
            && record.seed.get_or_insert_with(|| hash.clone()) == &hash
        {
            return false;
        }
        let mut begun = Record::new(seed, now.wall);
        begun.seed = Some(hash);
        begun.generation = self.stored.map_or(1, |stored| stored + 1);
        begun.previous_refresh_token = self.record.take().map(|record| record.refresh_token);
        self.record = Some(begun);
        true
    }
}
