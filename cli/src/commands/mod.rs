//! One file per command.

mod alias;
mod approve;
mod audit;
mod call;
mod cancel;
mod config;
mod delete;
mod deliveries;
mod doctor;
mod functions;
mod gateway;
mod hook;
mod list;
mod login;
mod logs;
mod observer;
mod rekey;
mod replay;
mod repo;
mod rerun;
mod result;
mod run;
mod secret;
mod status;
mod submit;
mod token;
mod tokens;
mod up;
mod usage;
mod user;
mod viewers;
mod worker;

use crate::{
    args::{AliasCommand, AsCommand, Command, RepoCommand, SecretCommand, TokenCommand, UserCommand},
    config::warn_of_names,
    exit::CommandResult,
    signals::unless_interrupted,
};

/// Does what the command line says.
pub(crate) async fn run(command: Command) -> CommandResult {
    if command.is_service() {
        warn_of_names();
    }
    match command {
        Command::Up => up::up().await,
        Command::Gateway => gateway::gateway().await,
        Command::Worker => worker::worker().await,
        Command::Observer => observer::observer().await,
        Command::Run(args) => run::run(args).await,
        Command::Token(TokenCommand::Create(args)) => token::create(args).await,
        Command::Token(TokenCommand::New(args)) => tokens::new(args).await,
        Command::Token(TokenCommand::List(args)) => tokens::list(args).await,
        Command::Token(TokenCommand::Revoke { id }) => tokens::revoke(id).await,
        Command::User(UserCommand::Set(args)) | Command::As(AsCommand::User(UserCommand::Set(args))) => {
            user::set(args).await
        }
        Command::User(UserCommand::Show(args)) | Command::As(AsCommand::User(UserCommand::Show(args))) => {
            user::show(args).await
        }
        Command::Repo(RepoCommand::Add(args)) => repo::add(args).await,
        Command::Repo(RepoCommand::Show(args)) => repo::show(args).await,
        Command::Repo(RepoCommand::Set(args)) => repo::set(args).await,
        Command::Repo(RepoCommand::List(args)) => repo::list(args).await,
        Command::Repo(RepoCommand::Remove { id }) => repo::remove(&id).await,
        Command::Repo(RepoCommand::Viewers(args)) => viewers::viewers(args).await,
        Command::Functions(args) => functions::functions(args).await,
        Command::Alias(AliasCommand::Set(args)) => alias::set(args).await,
        Command::Alias(AliasCommand::List(args)) => alias::list(args).await,
        Command::Alias(AliasCommand::Rollback { function, alias }) => {
            alias::rollback(&function, &alias).await
        }
        Command::Alias(AliasCommand::Rm { function, alias }) => alias::remove(&function, &alias).await,
        Command::Secret(SecretCommand::Set(args)) => secret::set(args).await,
        Command::Secret(SecretCommand::List(args)) => secret::list(args).await,
        Command::Secret(SecretCommand::Remove { repo, name }) => secret::remove(&repo, &name).await,
        Command::Secret(SecretCommand::Rekey(args)) => rekey::rekey(args).await,
        Command::Audit(args) => audit::audit(args).await,
        Command::Deliveries(args) => deliveries::deliveries(args).await,
        Command::Replay(args) => replay::replay(args).await,
        Command::Approve(args) => approve::approve(args).await,
        Command::Call(args) => unless_interrupted(call::call(args)).await,
        Command::Submit(args) => unless_interrupted(submit::submit(args)).await,
        Command::Login => unless_interrupted(login::login()).await,
        Command::Logout => login::logout().await,
        Command::Whoami(args) => login::whoami(args).await,
        Command::Logs(args) => unless_interrupted(logs::logs(args)).await,
        Command::Status(args) => status::status(args).await,
        Command::Result(args) => result::result(args).await,
        Command::List(args) => list::list(args).await,
        Command::Cancel(args) => cancel::cancel(args).await,
        Command::Rerun(args) => rerun::rerun(args).await,
        Command::Delete { id } => delete::delete(id).await,
        Command::Usage(args) => usage::usage(args).await,
        Command::Doctor(args) => doctor::doctor(args).await,
        Command::Config(args) => config::config(args),
        Command::Hook => hook::hook(),
    }
}
