//! What a person does on the pages of an [`OidcProvider`](super::OidcProvider), in a browser.

use crate::support::browser::{Browser, Seen};

/// What tells its pages apart.
const LOGIN: &str = "input[name=login]";
const CONSENT: &str = "form[action*=interaction]:has([value=consent])";
const USER_CODE: &str = "input[name=user_code]";
const CONFIRM: &str = "h1:text('Confirm Device')";
const WRONG_CODE: &str = "p.red";

impl Browser {
    /// Goes to an authorization request, logs in as `ada` where asked, and consents. Where that
    /// leads is not waited for.
    pub async fn log_in_and_consent(&self, url: &str) {
        self.log_in_and_consent_as(url, "ada").await;
    }

    /// The same as somebody else.
    pub async fn log_in_and_consent_as(&self, url: &str, account: &str) {
        self.goto(url).await;
        self.up_to_consent(account).await;
        self.click("button", "Continue").await;
    }

    /// Goes to an authorization request, logs in where asked, and does not consent.
    pub async fn deny(&self, url: &str) {
        self.goto(url).await;
        self.up_to_consent("ada").await;
        self.click("link", "[ Cancel ]").await;
    }

    /// Goes to the verification address of a device (RFC 8628 §3.3) and gives a user code there;
    /// false when it is not known.
    pub async fn enter_user_code(&self, verification_uri: &str, code: &str) -> bool {
        self.goto(verification_uri).await;
        self.fill(USER_CODE, code).await;
        self.follow("button", "Continue").await;
        self.first(&[CONFIRM, WRONG_CODE]).await == CONFIRM
    }

    /// After its user code: lets the device in, as `ada`, with all that it asks for.
    pub async fn let_device_in(&self) -> Seen {
        self.follow("button", "Continue").await;
        self.up_to_consent("ada").await;
        self.follow("button", "Continue").await;
        self.until("Sign-in Success").await
    }

    /// After its user code: does not let the device in.
    pub async fn keep_device_out(&self) -> Seen {
        self.follow("button", "[ Abort ]").await;
        self.until("interrupted").await
    }

    async fn up_to_consent(&self, account: &str) {
        if self.first(&[LOGIN, CONSENT]).await == LOGIN {
            self.fill(LOGIN, account).await;
            self.fill("input[name=password]", "any").await;
            self.follow("button", "Sign-in").await;
        }
    }
}
