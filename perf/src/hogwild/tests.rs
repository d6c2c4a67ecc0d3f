//! That the training is right, with real functions and real mails.

use super::{MAX_WORSE, mails, ours, plain};

const WORKERS: [u32; 3] = [1, 4, 16];

#[test]
fn weights_that_many_share_tell_as_many_mails_right_as_those_of_one_loop() {
    let mails = match mails::Mails::load() {
        Ok(mails) => mails,
        Err(error) => return println!("not tested: {error:#}"),
    };
    let plain = plain::train(&mails);
    let ours = ours::Host::start(&mails).unwrap();
    for workers in WORKERS {
        for rule in ["replace", "sum"] {
            let training = ours.train(&mails, workers, rule).unwrap();
            let (found, expected) = (training.accuracy, plain.accuracy);
            println!("{rule}, {workers} workers: {found:.4}; one loop: {expected:.4}");
            assert!(found + MAX_WORSE >= expected, "{rule}, {workers} workers: {found:.4}");
            let losses: Vec<f64> = training.epochs.iter().map(|(loss, _)| *loss).collect();
            assert!(losses.is_sorted_by(|before, after| before > after), "{losses:?}");
        }
    }
}
