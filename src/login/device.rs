//! A login on another device (RFC 8628).

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::config::Grant;
use crate::issuer::{Endpoints, Enrolment, EnrolmentError, Granted};
use crate::login::error::Error;
use crate::login::obtained::{Obtained, Proof};
use crate::oauth::{Class, DeviceCode, Failure, Poll};

/// A login on another device, under way.
#[derive(Debug)]
pub struct DeviceLogin<'a> {
    section: &'a Grant,
    enrolment: Enrolment,
    endpoints: Endpoints,
    code: DeviceCode,
    ends: Instant,
}

impl<'a> DeviceLogin<'a> {
    /// Asks the server for a code that a person can enter elsewhere.
    pub async fn begin(section: &'a Grant) -> Result<Self, Error> {
        let enrolment = Enrolment::new(section)?;
        let endpoints = enrolment.endpoints().await?;
        let code = enrolment.device(&endpoints).await?;
        Ok(Self {
            section,
            enrolment,
            endpoints,
            ends: Instant::now() + code.expires_in,
            code,
        })
    }

    /// What the person is to do.
    pub fn code(&self) -> &DeviceCode {
        &self.code
    }

    /// When the code expires.
    pub fn ends(&self) -> Instant {
        self.ends
    }

    /// Asks now and then until the person has answered, or the code has expired. Not cancel-safe:
    /// the answer that brings the tokens comes once.
    pub async fn wait(&self) -> Result<Obtained, Error> {
        let granted = self.granted().await?;
        Proof::new(self.section, &self.enrolment, &self.endpoints)
            .check(granted, None)
            .await
    }

    async fn granted(&self) -> Result<Granted, Error> {
        let mut interval = self.code.interval;
        loop {
            let next = Instant::now() + interval;
            if next >= self.ends {
                sleep_until(self.ends).await;
                return Err(Error::Expired);
            }
            sleep_until(next).await;
            let polled = self
                .enrolment
                .poll(&self.endpoints, &self.code.device_code)
                .await;
            match polled {
                Ok(granted) => return Ok(granted),
                Err(error) => interval = lull(error, interval)?,
            }
        }
    }
}

/// How long to wait before the next poll; an error where there is none to come.
fn lull(error: EnrolmentError, interval: Duration) -> Result<Duration, Error> {
    let failure = match &error {
        EnrolmentError::Refused(refused) => refused.failure.clone(),
        EnrolmentError::Unanswered(_, _) => Failure::new(Class::Later, "unanswered"),
        _ => return Err(error.into()),
    };
    match Poll::of(failure, interval) {
        Poll::Again(wait) => Ok(wait),
        Poll::Over(failure) if failure.code == "expired_token" => Err(Error::Expired),
        Poll::Over(_) => Err(error.into()),
    }
}
