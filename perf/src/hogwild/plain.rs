//! The same training as one plain loop in one thread.

use std::time::Instant;

use hogwild_model::{FEATURES, Weights, learn, predict, rate};

use super::mails::{Example, Mails, examples};
use super::{EPOCHS, Training};

pub(super) fn train(mails: &Mails) -> Training {
    let batches = examples(&mails.train);
    let mut weights = vec![0.0_f32; FEATURES];
    let begun = Instant::now();
    let mut epochs = Vec::new();
    for epoch in 0..EPOCHS {
        let (mut loss, mut count) = (0.0, 0_u32);
        for (row, class) in batches.iter().flatten() {
            loss += f64::from(learn(&mut weights, row, *class, rate(epoch)));
            count += 1;
        }
        epochs.push((loss / f64::from(count), begun.elapsed().as_secs_f64()));
    }
    let accuracy = judge(&weights, &examples(&mails.test));
    Training { accuracy, epochs, bytes: 0, memory_mib: 0.0 }
}

/// The part of the examples whose class is told right.
pub(super) fn judge(weights: &impl Weights, batches: &[Vec<Example>]) -> f64 {
    let right = |(row, class): &&Example| (predict(weights, row) > 0.5) == (*class == 1);
    let (count, right) =
        (batches.iter().flatten().count(), batches.iter().flatten().filter(right).count());
    right as f64 / count as f64
}
