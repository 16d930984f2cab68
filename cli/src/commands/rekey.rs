//! `gitfaas secret rekey`: the operator changes the master key. Talks to NATS directly, because no
//! gateway ever returns sealed data.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use jobs::{Ledger, settings::GITFAAS_MASTER_KEY_FILE};

use crate::{args::RekeyArgs, config, exit::CommandResult, nats::Nats};

/// The streams are there; on a cluster they may be electing a leader.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) async fn rekey(args: RekeyArgs) -> CommandResult {
    let data_dir = config::data_dir(&config::var)?;
    let new = &args.new_key_file;
    if ::gateway::make_key(new)? {
        eprintln!("made {}, and changed nothing yet", new.display());
        eprintln!(
            "give it to every gateway as GITFAAS_NEXT_MASTER_KEY_FILE, start them again, and run this again"
        );
        return Ok(ExitCode::SUCCESS);
    }
    let old = GITFAAS_MASTER_KEY_FILE.text(&config::var).map(PathBuf::from);
    let old = old.unwrap_or_else(|| data_dir.join("master.key"));
    let nats = Nats::read(&config::var, &data_dir)?;
    let client = jobs::connect::connect(&nats.settings("rekey")).await?;
    let ledger = Ledger::open(&client, PATIENCE).await?;
    let done = ::gateway::rekey(&ledger, &old, new).await?;
    client.flush().await?;
    for place in &done.unreadable {
        eprintln!("neither key opens {place}: it is left as it is");
    }
    match done.changed {
        0 => eprintln!("nothing was left: everything is sealed with the key in {}", new.display()),
        count => eprintln!(
            "sealed {count} entries anew; start every gateway with {} as its master key, then run this again",
            new.display()
        ),
    }
    Ok(ExitCode::SUCCESS)
}
