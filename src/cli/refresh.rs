//! `bearward refresh`: has the running process refresh a grant now.

use super::{Failure, Named, ask, block_on, grant, read, say};

pub(super) fn run(options: &Named) -> Result<(), Failure> {
    let config = read(&options.file.config)?;
    let name = &options.grant;
    grant(&config, name)?;
    let listen = &config.admin.listen;
    let path = format!("/grants/{name}/refresh");
    let (status, told) =
        block_on(ask::act(listen, &path, ask::Content::Nothing))?.map_err(|error| {
            Failure::new(format!("no process answers at {listen}: {error}")).hint(Some(
                "a grant is refreshed by the process that keeps it: start `bearward run`",
            ))
        })?;
    if status.is_success() {
        say(&format!("grant `{name}` is refreshed"));
        return Ok(());
    }
    Err(ask::refused(
        &format!("grant `{name}` is not refreshed"),
        &told,
    ))
}
