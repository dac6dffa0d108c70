//! What happens in a world, in words that a person can follow; its tokens are shown in clear.

use crate::grant::event::{Decision, Event, Notice};
use crate::oauth::Answer;
use crate::secret::Secret;

/// The notice that a decision is.
pub(super) fn noticed(decision: &Decision) -> Option<Notice> {
    match decision {
        Decision::Notice(notice) => Some(notice.clone()),
        _ => None,
    }
}

/// An event for people.
pub(super) fn heard(event: &Event) -> String {
    match event {
        Event::Loaded(Ok(Some(record))) => format!(
            "loaded generation {}: {}",
            record.generation,
            record.refresh_token.expose()
        ),
        Event::Answered(Answer::Success(tokens), _) => format!(
            "answered: {}, {:?}, ends {:?}",
            tokens.access_token.expose(),
            tokens.refresh_token.as_ref().map(Secret::expose),
            tokens.expires
        ),
        Event::Answered(Answer::Failed(failure), _) => {
            format!("answered: {:?}, {}", failure.class, failure.code)
        }
        other => format!("{other:?}"),
    }
}

/// A decision for people, with the tokens of this world in clear.
pub(super) fn told(decision: &Decision) -> String {
    match decision {
        Decision::Refresh(token, _) => format!("send {}", token.expose()),
        Decision::Publish(issued) => {
            format!("publish {} until {:?}", issued.value.expose(), issued.ends)
        }
        Decision::Save(record, if_generation) => format!(
            "save generation {} over {if_generation:?}: {}, {:?}, {:?}",
            record.generation,
            record.refresh_token.expose(),
            record.state,
            record.intent.as_ref().map(|open| open.tries),
        ),
        other => format!("{other:?}"),
    }
}
