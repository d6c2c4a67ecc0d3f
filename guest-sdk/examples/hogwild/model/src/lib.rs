//! Logistic regression over hashed words, one example at a time: the arithmetic alone, wherever
//! the weights lie.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;

/// Weights, and so columns of a feature matrix; the last is the bias.
pub const FEATURES: usize = 1 << 18;
/// The column that every example has.
const BIAS: u32 = FEATURES as u32 - 1;
/// Lengths of the words that count, in bytes.
const WORD_BYTES: std::ops::RangeInclusive<usize> = 2..=24;

/// Where weights lie: plain memory, memory that others write too, or a store far away.
pub trait Weights {
    /// The weight of a column.
    fn get(&self, column: u32) -> f32;
    /// Adds to the weight of a column. Others may add at the same time, and one of the two
    /// additions be lost.
    fn add(&mut self, column: u32, amount: f32);
}

impl Weights for Vec<f32> {
    fn get(&self, column: u32) -> f32 {
        self[column as usize]
    }

    fn add(&mut self, column: u32, amount: f32) {
        self[column as usize] += amount;
    }
}

/// The features of a mail: its words and those of its subject, by hash, weighted by the logarithm
/// of how often they occur, and scaled to length 1. Columns are in order.
#[must_use]
pub fn features(mail: &str) -> Vec<(u32, f32)> {
    let (head, body) = mail.split_once("\n\n").unwrap_or(("", mail));
    let subject = head.lines().find_map(|line| line.strip_prefix("Subject:")).unwrap_or("");
    let mut counts = BTreeMap::new();
    for word in words(subject).chain(words(body)) {
        *counts.entry(column(word)).or_insert(0_u32) += 1;
    }
    let weight = |count: u32| 1.0 + (count as f32).ln();
    let length = counts.values().map(|count| weight(*count).powi(2)).sum::<f32>().sqrt();
    let scaled = counts.into_iter().map(|(column, count)| (column, weight(count) / length));
    scaled.chain([(BIAS, 1.0)]).collect()
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric());
    words.filter(|word| WORD_BYTES.contains(&word.len()))
}

/// FNV-1a of the word in small letters, over all columns but the bias.
fn column(word: &str) -> u32 {
    let hash = word.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte.to_ascii_lowercase())).wrapping_mul(0x0100_0193)
    });
    hash % BIAS
}

/// How sure the model is that an example is of the class 1.
pub fn predict(weights: &impl Weights, row: &[(u32, f32)]) -> f32 {
    let sum: f32 = row.iter().map(|(column, value)| weights.get(*column) * value).sum();
    1.0 / (1.0 + (-sum).exp())
}

/// Learns from one example; returns its loss before.
pub fn learn(weights: &mut impl Weights, row: &[(u32, f32)], class: u8, rate: f32) -> f32 {
    let predicted = predict(weights, row);
    let error = predicted - f32::from(class);
    for (column, value) in row {
        weights.add(*column, -rate * error * value);
    }
    loss(predicted, class)
}

/// The loss of a prediction.
#[must_use]
pub fn loss(predicted: f32, class: u8) -> f32 {
    let right = if class == 1 { predicted } else { 1.0 - predicted };
    -right.max(1e-7).ln()
}

/// The rate of learning in an epoch, from 0 on.
#[must_use]
pub fn rate(epoch: u32) -> f32 {
    2.0 / (1.0 + epoch as f32 * 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_words_in_order_and_of_length_one() {
        let row = features("From x\nSubject: Win MONEY\n\nmoney, money! a");
        assert_eq!(row.len(), 3, "win, money and the bias: {row:?}");
        assert!(row.is_sorted_by_key(|(column, _)| *column));
        let length: f32 = row[..2].iter().map(|(_, value)| value * value).sum();
        assert!((length - 1.0).abs() < 1e-6);
        assert!(row.contains(
            &features("MONEY").first().map(|(c, _)| (*c, row[0].1.max(row[1].1))).unwrap()
        ));
    }

    #[test]
    fn what_can_be_told_apart_is_learnt() {
        let mails = [("cheap pills buy now", 1), ("minutes of the meeting", 0)];
        let mut weights = vec![0.0; FEATURES];
        for epoch in 0..20 {
            for (mail, class) in mails {
                learn(&mut weights, &features(mail), class, rate(epoch));
            }
        }
        for (mail, class) in mails {
            assert_eq!(u8::from(predict(&weights, &features(mail)) > 0.5), class);
        }
    }
}
