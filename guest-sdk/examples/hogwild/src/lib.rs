//! Tells spam from other mail: logistic regression, trained by many calls at once on weights that
//! they all map (HOGWILD), on one host or several.
//!
//! Mails come in batches; each is kept as a sparse matrix of hashed words. An epoch chains a call
//! for each worker; a worker learns from every N-th batch, and pushes after each.
#![forbid(unsafe_code)]

use faaslet::state::{Mapped, Rows, Rule, SparseMatrix, Vector};
use faaslet::{Chained, Error, chain, join_all};
use hogwild_model::{FEATURES, Weights, features, learn, loss, predict, rate};
use serde::{Deserialize, Serialize};

/// Most workers of an epoch.
const MAX_WORKERS: u32 = 64;

/// What a call does.
#[derive(Deserialize, Serialize)]
#[serde(tag = "do", rename_all = "snake_case")]
enum Task {
    /// Keeps a batch of mails, each with its class.
    Keep { set: String, batch: u32, mails: Vec<(u8, String)> },
    /// One epoch over all batches of a set.
    Epoch { model: Model, set: String, batches: u32, workers: u32, epoch: u32 },
    /// One worker's part of an epoch.
    Learn { model: Model, set: String, batches: u32, workers: u32, worker: u32, epoch: u32 },
    /// How well a model does on a set.
    Judge { model: Model, set: String, batches: u32 },
}

/// Which weights, and how those of two hosts are merged.
#[derive(Clone, Deserialize, Serialize)]
struct Model {
    name: String,
    #[serde(default)]
    sum: bool,
}

/// What came of it.
#[derive(Default, Deserialize, Serialize)]
struct Done {
    examples: u64,
    /// Of all examples, added up.
    loss: f64,
    /// Those whose class was told right, by `Judge` alone.
    right: u64,
}

/// Weights that all calls of the host map.
struct Shared(Mapped<f32>);

impl Weights for Shared {
    fn get(&self, column: u32) -> f32 {
        self.0.get(column as usize)
    }

    fn add(&mut self, column: u32, amount: f32) {
        self.0.set(column as usize, self.get(column) + amount);
    }
}

#[faaslet::main]
fn hogwild(task: Task) -> Result<Done, Error> {
    match task {
        Task::Keep { set, batch, mails } => keep(&set, batch, &mails),
        Task::Epoch { model, set, batches, workers, epoch } => {
            run_epoch(&model, &set, batches, workers, epoch)
        }
        Task::Learn { model, set, batches, workers, worker, epoch } => {
            let weights = model.weights()?;
            weights.pull()?;
            let mut shared = Shared(weights.map()?);
            let mut done = Done::default();
            for batch in (worker..batches).step_by(workers.max(1) as usize) {
                let batch = Batch::open(&set, batch)?;
                for (row, class) in batch.examples() {
                    done.loss += f64::from(learn(&mut shared, &row, class, rate(epoch)));
                    done.examples += 1;
                }
                weights.push()?;
            }
            Ok(done)
        }
        Task::Judge { model, set, batches } => judge(&model, &set, batches),
    }
}

impl Model {
    fn weights(&self) -> Result<Vector<f32>, Error> {
        let rule = if self.sum { Rule::Sum } else { Rule::Replace };
        let options = Vector::named(format!("{}/weights", self.name)).rule(rule);
        Ok(options.max_len(FEATURES as u64).len(FEATURES).open()?)
    }
}

fn keep(set: &str, batch: u32, mails: &[(u8, String)]) -> Result<Done, Error> {
    let key = format!("{set}/{batch}");
    SparseMatrix::create(&key, mails.iter().map(|(_, mail)| features(mail)))?;
    let classes: Vec<u8> = mails.iter().map(|(class, _)| *class).collect();
    let value = Vector::named(format!("{key}/classes")).max_len(classes.len() as u64).open()?;
    value.write(0, &classes)?;
    value.push()?;
    Ok(Done { examples: classes.len() as u64, ..Done::default() })
}

/// Calls the workers and waits for all of them.
fn run_epoch(
    model: &Model,
    set: &str,
    batches: u32,
    workers: u32,
    epoch: u32,
) -> Result<Done, Error> {
    if !(1..=MAX_WORKERS).contains(&workers) {
        return Err(Error::new(format_args!(
            "expected 1 to {MAX_WORKERS} workers; found {workers}"
        )));
    }
    let myself = faaslet::identity().function;
    let calls: Vec<Chained<Done>> = (0..workers)
        .map(|worker| {
            let (model, set) = (model.clone(), set.to_owned());
            chain(&myself, &Task::Learn { model, set, batches, workers, worker, epoch })
        })
        .collect::<Result<_, _>>()?;
    let done = join_all(calls)?;
    Ok(done.into_iter().fold(Done::default(), |all, one| Done {
        examples: all.examples + one.examples,
        loss: all.loss + one.loss,
        right: 0,
    }))
}

fn judge(model: &Model, set: &str, batches: u32) -> Result<Done, Error> {
    let weights = model.weights()?;
    weights.pull()?;
    let shared = Shared(weights.map()?);
    let mut done = Done::default();
    for batch in 0..batches {
        for (row, class) in Batch::open(set, batch)?.examples() {
            let predicted = predict(&shared, &row);
            done.examples += 1;
            done.loss += f64::from(loss(predicted, class));
            done.right += u64::from((predicted > 0.5) == (class == 1));
        }
    }
    Ok(done)
}

/// A batch of mails, mapped.
struct Batch {
    rows: Rows<f32>,
    classes: Vec<u8>,
}

impl Batch {
    fn open(set: &str, batch: u32) -> Result<Self, Error> {
        let key = format!("{set}/{batch}");
        let matrix = SparseMatrix::open(&key)?;
        let classes = Vector::<u8>::existing(&format!("{key}/classes"))?.read(0, matrix.len())?;
        Ok(Self { rows: matrix.rows(0, matrix.len())?, classes })
    }

    fn examples(&self) -> impl Iterator<Item = (Vec<(u32, f32)>, u8)> {
        let classes = self.classes.iter().copied();
        (0..self.rows.len()).map(|row| self.rows.row(row).collect()).zip(classes)
    }
}

#[cfg(test)]
mod tests {
    use faaslet::test::Call;

    use super::{Done, faaslet_main};

    #[test]
    fn a_kept_batch_is_judged_by_chance_before_anything_is_learnt() {
        // Values last for one call of a test, so that each starts with none.
        let keep = r#"{"do":"keep","set":"s","batch":0,"mails":[[1,"buy now"],[0,"the minutes"]]}"#;
        let done = Call::new().input(keep).run(faaslet_main).returned::<Done>();
        assert_eq!(done.map(|done| done.examples), Ok(2));
    }

    #[test]
    fn too_many_workers_are_refused() {
        let epoch =
            r#"{"do":"epoch","model":{"name":"m"},"set":"s","batches":1,"workers":65,"epoch":0}"#;
        let answer = Call::new().input(epoch).run(faaslet_main);
        assert_eq!(answer.failure(), Some("expected 1 to 64 workers; found 65"));
    }
}
