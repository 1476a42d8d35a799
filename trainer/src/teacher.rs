//! What other networks answer of the training films: an ensemble that one small network learns to imitate.

use burn::tensor::activation::softmax;

use crate::inputs::{Films, Inputs, Pick};
use crate::net::{Net, floats};

/// Films that go through a network at a time.
const BATCH: usize = 16;

/// The mean over all teachers of the probabilities that they give the first view of each film at a temperature.
pub fn answers(teachers: &[Net], films: &Films, temperature: f32) -> Vec<[f32; 3]> {
    let picks: Vec<Pick> = (0..films.tensors.len()).map(|film| (film, 0)).collect();
    let mut answers = vec![[0.0; 3]; picks.len()];
    for net in teachers {
        let device = net.device();
        for (picks, answers) in picks.chunks(BATCH).zip(answers.chunks_mut(BATCH)) {
            let logits = net.logits(Inputs::Fresh(films).batch(picks, &device), 0);
            let probabilities = softmax(logits.div_scalar(temperature), 1);
            for (answer, row) in answers.iter_mut().zip(floats(probabilities).chunks(3)) {
                answer.iter_mut().zip(row).for_each(|(sum, value)| *sum += value / teachers.len() as f32);
            }
        }
    }
    answers
}
