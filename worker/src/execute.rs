//! One job from its start to its outcome. Read this first.
//!
//! Checkout, manifest, prepare, run; a build ends before the run. Each step's failure is an [`Outcome`], never an
//! error, so what happened is always told. Nothing here knows of NATS: what an attempt needs from its surroundings
//! is [`AttemptContext`], which the queue and `gitfaas run` answer in their ways.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use jobs::{
    Cause, Outcome, Phase,
    manifest::{Languages, MANIFEST_FILE, MAX_MANIFEST_BYTES, Manifest},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    attempt_context::AttemptContext,
    checkout::Mirrors,
    classify,
    config::Config,
    environments::Environment,
    execution_report::ExecutionReport,
    execution_request::ExecutionRequest,
    filters::skip_reason,
    job_files::job_files,
    mask::{self, Mask},
    output::LogSink,
    output::collector::OutputCollector,
    prepare,
    result_reuse::ReusableResult,
    runner::Runner,
    sandbox::{
        Chunk, Exit, Limits, Network, PrepareError, PrepareRequest, Program, Sandbox, Slot, StartGate,
    },
    source::{Files, Found, Selection, SourceError, Spool},
    step_limit::{StepEnd, or_stopped, within},
    variables,
};

/// Executes jobs: what every attempt of this worker shares.
#[derive(Debug, Clone)]
pub struct Executor {
    /// Containers.
    pub sandbox: Sandbox,
    /// Commits.
    pub mirrors: Mirrors,
    /// Limits.
    pub config: Arc<Config>,
}

impl Languages for Executor {
    fn required_fields(&self, language: &str) -> Option<Vec<String>> {
        match self.sandbox.runner(language) {
            Some(runner) => Some(runner.required.clone()),
            // Known, but its image is not here: its rules are not either.
            None => self.sandbox.missing().iter().any(|(name, _)| name == language).then(Vec::new),
        }
    }

    fn names(&self) -> Vec<String> {
        let offered = self.sandbox.runners().iter().map(|runner| runner.language.clone());
        let mut names: Vec<String> =
            offered.chain(self.sandbox.missing().iter().map(|(name, _)| name.clone())).collect();
        names.sort();
        names
    }
}

impl Executor {
    /// Runs `request` in `slot` to its end, or until `stop`.
    #[tracing::instrument(name = "job", skip_all, fields(job.id = %request.tag.job, attempt = request.tag.attempt))]
    pub async fn execute(
        &self,
        slot: &Slot,
        request: ExecutionRequest,
        context: &impl AttemptContext,
        stop: &CancellationToken,
    ) -> ExecutionReport {
        let mut report = ExecutionReport::new();
        let mut mask = Mask::nothing();
        let outcome = match self.steps(slot, &request, context, stop, &mut report, &mut mask).await {
            Ok(outcome) | Err(outcome) => outcome,
        };
        report.outcome = mask.outcome(outcome);
        report
    }

    /// `Err` is an end before the run; both are outcomes.
    async fn steps(
        &self,
        slot: &Slot,
        request: &ExecutionRequest,
        context: &impl AttemptContext,
        stop: &CancellationToken,
        report: &mut ExecutionReport,
        mask: &mut Mask,
    ) -> Result<Outcome, Outcome> {
        let Some(read) = within(context, self.read(request, context, stop, report)).await else {
            return Err(report.needs(self.longer_than_last(self.config.fetch_timeout)));
        };
        let (files, manifest) = read?;
        let only_builds = request.only_builds(&manifest);
        if !only_builds {
            context.may_be_superseded(manifest.supersede);
        }
        if let Some(outcome) = context.superseded(manifest.supersede).await {
            return Err(outcome);
        }
        match context.reusable_result().await {
            ReusableResult::None => {}
            ReusableResult::NotFinished => {
                report.is_put_off = true;
                return Err(Outcome::wished(Cause::Cancelled, "it waits for another job of its commit"));
            }
            ReusableResult::Finished(same) => {
                context.log().note(Phase::Run, "another job of this commit answers for this one");
                let outcome = same.outcome.clone();
                *report = ExecutionReport { checkout: report.checkout, ..*same };
                return Ok(outcome);
            }
        }
        let runner = self.runner(&manifest, &files).await?;
        // Without a run there is nobody to give a secret to.
        let secrets = if only_builds {
            Vec::new()
        } else if context.may_run_for(manifest.timeout).await {
            context.secrets(&manifest.secrets).await?
        } else {
            return Err(report.needs(manifest.timeout));
        };

        *mask = hiding(&secrets, &*context.log()).await?;
        let sink = OutputCollector::start(context.log(), self.config.max_result_bytes, mask.clone());
        let step = StepContext { slot, request, stop, sender: &sink.sender };
        let environment = match self.prepare(&step, context, &runner, &manifest, &files, report).await {
            Ok(environment) => environment,
            Err(outcome) => {
                report.error_tail = sink.finish().await.1;
                return Err(outcome);
            }
        };

        if only_builds {
            sink.finish().await;
            return Ok(Outcome::Built);
        }
        context.runs_for(manifest.timeout);
        let limits = self.limits(&manifest);
        let (tree, input) = tokio::try_join!(self.pack(request, &files), context.input())?;
        let mut env: Vec<(String, String)> = manifest.env.clone().into_iter().collect();
        env.extend(input.variables);
        env.extend(secrets);
        env.extend(variables::of_job(request, &manifest, report.sha.as_ref()));
        let mut argv = Runner::fill_in(&runner.run, |name| prepare::field(&manifest, name));
        argv.extend(request.args.clone().unwrap_or_else(|| manifest.args.clone()));
        let program =
            Program { runner, argv, env, tree, input: input.body, environment, limits: limits.clone() };
        let gate = context.runs_once().then(|| StartGate::new(|| context.begins()));
        let ended = slot.run(&request.tag, program, sink.sender.clone(), stop.clone(), gate.as_ref()).await;
        let (kept, error_tail) = sink.finish().await;
        report.stdout = Some(kept);
        report.error_tail = error_tail;
        if let Some(refusal) = gate.as_ref().and_then(StartGate::refusal) {
            return Err(refusal);
        }
        let is_not_started = ended.as_ref().is_ok_and(|end| end.exit == Exit::NotStarted);
        report.may_have_begun = gate.is_some_and(|gate| gate.is_passed()) && !is_not_started;
        let end = ended.map_err(|error| {
            tracing::error!(error = format!("{:#}", anyhow::Error::from(error)), "sandbox failed");
            Outcome::service(Cause::Lost, "the container could not be run; this is not the function's fault")
        })?;
        report.run = Some(end.duration);
        report.exit_code = classify::exit_code(&end);
        report.peak_memory_bytes = end.peak_memory_bytes;
        Ok(classify::classify(&end, &limits))
    }

    /// The commit's files and its manifest; `Err` also where the filters say no.
    async fn read(
        &self,
        request: &ExecutionRequest,
        context: &impl AttemptContext,
        stop: &CancellationToken,
        report: &mut ExecutionReport,
    ) -> Result<(Files, Manifest), Outcome> {
        let begun = Instant::now();
        let files = until(stop, job_files(&self.mirrors, request, context, report)).await??;
        let manifest = self.manifest(&files).await?;
        report.language = Some(manifest.language.clone());
        report.http = manifest.http.clone();
        report.checkout = Some(begun.elapsed());
        for warning in &manifest.warnings {
            context.log().note(Phase::Checkout, warning);
        }
        context.learned(report.sha.as_ref(), &manifest.language).await;
        match skip_reason(&self.mirrors, request, &manifest, &files, context).await {
            Some(why) => Err(Outcome::Skipped { why }),
            None => Ok((files, manifest)),
        }
    }

    /// What the files say of their function.
    pub(crate) async fn manifest(&self, files: &Files) -> Result<Manifest, Outcome> {
        let wrong = |message: String| Outcome::function(Cause::Manifest, format!("manifest: {message}"));
        let found = blocking(files, |files| files.read(MANIFEST_FILE, MAX_MANIFEST_BYTES)).await?;
        let bytes = match found {
            Found::File(bytes) => bytes,
            Found::Absent => {
                return Err(wrong(format!("there is no {MANIFEST_FILE} at the root of the repository")));
            }
            Found::NotAFile => return Err(wrong(format!("{MANIFEST_FILE} is not a regular file"))),
            Found::TooLarge(bytes) => {
                return Err(wrong(format!(
                    "{MANIFEST_FILE} has {bytes} bytes, more than {MAX_MANIFEST_BYTES}"
                )));
            }
        };
        Manifest::parse(&bytes, &self.config.ceilings, self)
            .map_err(|error| Outcome::function(Cause::Manifest, error.to_string()))
    }

    /// The runner, if its image is here and the commit has the files it needs.
    async fn runner(&self, manifest: &Manifest, files: &Files) -> Result<Arc<Runner>, Outcome> {
        let Some(runner) = self.sandbox.runner(&manifest.language) else {
            return Err(Outcome::service(
                Cause::Prepare,
                format!("no worker offers the language {}", manifest.language),
            ));
        };
        let mut missing = Vec::new();
        for path in Runner::fill_in(&runner.files, |name| prepare::field(manifest, name)) {
            let found = blocking(files, {
                let path = path.clone();
                move |files| files.read(&path, 0)
            });
            match found.await? {
                Found::File(_) | Found::TooLarge(_) => {}
                Found::Absent => missing.push(format!("{path} is not in the repository")),
                Found::NotAFile => missing.push(format!("{path} is not a regular file")),
            }
        }
        if missing.is_empty() {
            Ok(Arc::clone(runner))
        } else {
            Err(Outcome::function(Cause::Manifest, format!("manifest: {}", missing.join("; "))))
        }
    }

    /// The environment, made or found; nothing where nothing is to be prepared.
    async fn prepare(
        &self,
        step: &StepContext<'_>,
        context: &impl AttemptContext,
        runner: &Arc<Runner>,
        manifest: &Manifest,
        files: &Files,
        report: &mut ExecutionReport,
    ) -> Result<Option<Environment>, Outcome> {
        let (spool, max_bytes) = (self.spool(step.request), self.config.max_repo_bytes);
        let begun = Instant::now();
        let found = blocking(files, {
            let (runner, manifest) = (Arc::clone(runner), manifest.clone());
            move |files| prepare::inputs(&runner, &manifest, files, max_bytes, &spool)
        });
        let Some(inputs) = found.await? else { return Ok(None) };
        let prepare_request = PrepareRequest {
            runner: Arc::clone(runner),
            inputs: inputs.tree,
            env: variables::of_manifest(manifest).collect(),
            cache_scope: step.request.cache_scope.clone(),
            expiry: inputs.expiry,
        };
        let stop = step.stop.child_token();
        let preparing =
            step.slot.prepare(&step.request.tag, prepare_request, step.sender.clone(), stop.clone());
        let (prepared, ending) = or_stopped(context, &stop, preparing).await;
        report.prepare = Some(begun.elapsed());
        match prepared {
            Ok(prepared) => {
                report.prepared = Some(prepared.reused);
                Ok(Some(prepared.environment))
            }
            Err(PrepareError::Function { sentence, .. }) => {
                Err(Outcome::function(Cause::Prepare, format!("prepare: {sentence}")))
            }
            Err(PrepareError::Stopped) if ending == StepEnd::Overdue && !step.stop.is_cancelled() => {
                Err(report.needs(self.longer_than_last(self.config.prepare_timeout)))
            }
            Err(PrepareError::Stopped) => Err(Outcome::wished(Cause::Cancelled, "cancelled")),
            Err(PrepareError::Service(error)) => {
                tracing::error!(error = format!("{:#}", anyhow::Error::from(error)), "prepare failed");
                Err(Outcome::service(
                    Cause::Prepare,
                    "the environment could not be prepared; this is not the function's fault",
                ))
            }
        }
    }

    async fn pack(&self, request: &ExecutionRequest, files: &Files) -> Result<crate::source::Tree, Outcome> {
        let (spool, max_bytes) = (self.spool(request), self.config.max_repo_bytes);
        blocking(files, move |files| files.pack(Selection::All, max_bytes, &spool)).await
    }

    /// What is noted of a step that the last slot was too short for: with what it waited for, it may have
    /// taken longer than its own bound.
    fn longer_than_last(&self, bound: Duration) -> Duration {
        bound.max(self.config.last_slot_timeout + Duration::from_secs(1))
    }

    fn spool(&self, request: &ExecutionRequest) -> Spool {
        Spool::new(self.config.data_dir.join("spool"), self.mirrors.disk(), request.cache_scope.owner())
    }

    fn limits(&self, manifest: &Manifest) -> Limits {
        Limits {
            time: manifest.timeout,
            memory_bytes: manifest.memory_bytes,
            disk_bytes: manifest.disk_bytes,
            cpu_millis: manifest.cpu_millis,
            output_bytes: self.config.max_output_bytes,
            network: match manifest.network {
                jobs::manifest::Network::Egress => Network::Egress,
                jobs::manifest::Network::None => Network::None,
            },
        }
    }
}

/// What hides these secrets. A value that is too short to be hidden is told of, by its name.
async fn hiding(secrets: &[(String, String)], log: &dyn LogSink) -> Result<Mask, Outcome> {
    for (name, _) in secrets.iter().filter(|(_, value)| !mask::can_be_hidden(value)) {
        let line = format!("the secret {name} has fewer than {} bytes and is not hidden", mask::MIN_BYTES);
        log.note(Phase::Checkout, &line);
    }
    let values: Vec<String> = secrets.iter().map(|(_, value)| value.clone()).collect();
    // Of a long value this takes a second.
    let building = tokio::task::spawn_blocking(move || Mask::of(values.iter().map(String::as_str)));
    building.await.map_err(|_| Outcome::service(Cause::Lost, "the secrets could not be hidden"))
}

async fn until<T>(stop: &CancellationToken, work: impl Future<Output = T>) -> Result<T, Outcome> {
    stop.run_until_cancelled(work).await.ok_or_else(|| Outcome::wished(Cause::Cancelled, "cancelled"))
}

/// Reads files on a thread that may block.
async fn blocking<T: Send + 'static>(
    files: &Files,
    read: impl FnOnce(&Files) -> Result<T, SourceError> + Send + 'static,
) -> Result<T, Outcome> {
    let files = files.clone();
    match tokio::task::spawn_blocking(move || read(&files)).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(crate::checkout::CheckoutError::Files(error).outcome()),
        Err(panic) => Err(Outcome::service(Cause::Checkout, panic.to_string())),
    }
}

/// The slot, the stop signal and the output of one attempt.
struct StepContext<'a> {
    slot: &'a Slot,
    request: &'a ExecutionRequest,
    stop: &'a CancellationToken,
    sender: &'a mpsc::Sender<Chunk>,
}
