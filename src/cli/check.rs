//! `bearward check`: the configuration's faults, and with `--live` whether everything answers.

use clap::Args;

use super::{Failure, File, block_on, live, read, say};

#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    file: File,
    /// Also ask each issuer, upstream and store; nothing is spent
    #[arg(long)]
    live: bool,
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let config = read(&options.file.config)?;
    let (grants, routes) = (config.grant.len(), config.route.len());
    let path = options.file.config.display();
    say(&format!(
        "`{path}` is well-formed: {grants} grant(s), {routes} route(s)"
    ));
    if options.live {
        block_on(live::check(&config))??;
    }
    Ok(())
}
