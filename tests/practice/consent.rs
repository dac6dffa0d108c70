//! How the practice authorization server asks a person: by a page (RFC 6749 §4.1), or by a code
//! that is entered elsewhere (RFC 8628).
//!
//! Pure but for the randomness of its secrets. There is nobody to sign in: whoever opens the page
//! is asked to allow or to deny.

use std::collections::BTreeMap;
use std::fmt::Write;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::secrets::Secrets;

type Params = BTreeMap<String, String>;

/// What was asked of people, and what they said.
#[derive(Debug, Default)]
pub(super) struct Consent {
    /// Codes that nobody has redeemed, with the request they answer.
    codes: BTreeMap<String, Params>,
    devices: Vec<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    secret: String,
    user_code: String,
    answer: Option<Answer>,
}

/// What a person said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Allow,
    Deny,
}

impl Answer {
    /// The word of a link on the page.
    pub(super) fn read(word: &str) -> Option<Self> {
        match word {
            "allow" => Some(Self::Allow),
            "deny" => Some(Self::Deny),
            _ => None,
        }
    }
}

impl Consent {
    /// Where the browser is sent with the person's answer (RFC 6749 §4.1.2, RFC 9207 §2).
    pub(super) fn answered(
        &mut self,
        request: &Params,
        answer: Answer,
        issuer: &str,
        secrets: &Secrets,
    ) -> Option<String> {
        let redirect_uri = request.get("redirect_uri")?;
        let state = request.get("state").map_or("", String::as_str);
        let mut query = form_urlencoded::Serializer::new(String::new());
        match answer {
            Answer::Allow => {
                let code = secrets.make("code.", 40);
                query.append_pair("code", &code);
                self.codes.insert(code, request.clone());
            }
            Answer::Deny => {
                query.append_pair("error", "access_denied");
                query.append_pair("error_description", "The person said no.");
            }
        }
        query.append_pair("state", state).append_pair("iss", issuer);
        Some(format!("{redirect_uri}?{}", query.finish()))
    }

    /// Takes a code with its verifier (RFC 6749 §4.1.3, RFC 7636 §4.6); each is good once.
    pub(super) fn redeem(&mut self, request: &Params) -> Result<(), &'static str> {
        let code = request.get("code").ok_or("invalid_request")?;
        let asked = self.codes.remove(code).ok_or("invalid_grant")?;
        let same = |name| asked.get(name) == request.get(name);
        let challenge = asked.get("code_challenge").cloned();
        let hash = |verifier: &String| URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()));
        let verified = request.get("code_verifier").map(hash) == challenge;
        if same("redirect_uri") && verified {
            Ok(())
        } else {
            Err("invalid_grant")
        }
    }

    /// A new device code and the code that a person enters.
    pub(super) fn device(&mut self, secrets: &Secrets) -> (String, String) {
        let device_code = secrets.make("device.", 40);
        let letters = std::iter::repeat_with(|| fastrand::choice(b"BCDFGHJKLMNPQRSTVWXZ"));
        let user_code: String = letters
            .flatten()
            .take(8)
            .map(|letter| char::from(*letter))
            .collect();
        let user_code = format!("{}-{}", &user_code[..4], &user_code[4..]);
        self.devices.push(Waiting {
            secret: device_code.clone(),
            user_code: user_code.clone(),
            answer: None,
        });
        (device_code, user_code)
    }

    /// A person's answer to the device with this code; false for a code that nobody waits with.
    pub(super) fn answer_device(&mut self, user_code: &str, answer: Answer) -> bool {
        let device = self
            .devices
            .iter_mut()
            .find(|device| device.user_code == user_code);
        device.map(|device| device.answer = Some(answer)).is_some()
    }

    /// What a device that asks is told (RFC 8628 §3.5).
    pub(super) fn poll(&mut self, request: &Params) -> Result<(), &'static str> {
        let code = request.get("device_code").ok_or("invalid_request")?;
        let place = self.devices.iter().position(|it| it.secret == *code);
        let place = place.ok_or("expired_token")?;
        match self.devices.get(place).and_then(|device| device.answer) {
            None => Err("authorization_pending"),
            Some(answer) => {
                self.devices.remove(place);
                match answer {
                    Answer::Allow => Ok(()),
                    Answer::Deny => Err("access_denied"),
                }
            }
        }
    }
}

/// The page that asks; `request` are the parameters it was opened with.
pub(super) fn page(heading: &str, request: &Params, form: &str) -> String {
    let scope = request.get("scope").map_or("", String::as_str);
    let client = request.get("client_id").map_or("a device", String::as_str);
    format!(
        "<!doctype html><html lang=\"en\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{heading}</title>\
         <style>body{{font:1.1em/1.6 sans-serif;max-width:32em;margin:4em auto;padding:0 1em}}\
         button{{font:inherit;padding:.3em 1.2em;margin-right:1em}}</style>\
         <h1>{heading}</h1><p><b>{}</b> asks for <code>{}</code>.</p>{form}",
        escaped(client),
        escaped(scope),
    )
}

/// A form that sends the person's answer to `action` with these fields.
pub(super) fn form(action: &str, fields: &Params) -> String {
    let mut hidden = String::new();
    for (name, text) in fields {
        let (name, text) = (escaped(name), escaped(text));
        let _ = write!(
            hidden,
            "<input type=\"hidden\" name=\"{name}\" value=\"{text}\">"
        );
    }
    format!(
        "<form method=\"get\" action=\"{}\">{hidden}\
         <button name=\"answer\" value=\"allow\">Allow</button>\
         <button name=\"answer\" value=\"deny\">Deny</button></form>",
        escaped(action)
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('"', "&quot;")
}
