//! What the frozen part of the network makes of the films: computed once, trained on many times.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;

use burn::prelude::*;
use burn::tensor::TensorData;
use chestlight::preprocess::InputTensor;
use sha2::{Digest, Sha256};

use crate::augment;
use crate::experiment::Augment;
use crate::net::{FEATURES, Lite0, floats};

/// Films that go through the frozen part at a time.
const BATCH: usize = 16;

/// Bytes before the numbers of a kept file: the key and the shape.
const HEADER: u64 = 32 + 3 * 8;

/// Activations of every view of every film: row `film * views + view`.
#[derive(Clone, Debug, PartialEq)]
pub struct Rows {
    /// Versions of each film.
    pub views: usize,
    /// The class of each film, as an output index.
    pub labels: Vec<usize>,
    /// Channels, height and width of a row.
    shape: [usize; 3],
    values: Vec<f32>,
}

impl Rows {
    fn width(&self) -> usize {
        self.shape.iter().product()
    }

    /// Runs every view of every film through the blocks before `block`.
    ///
    /// `tick` is called after each batch with the number of views done.
    pub fn before_block(
        net: &Lite0,
        films: &[(InputTensor, usize)],
        augment: &Augment,
        seed: u64,
        block: usize,
        tick: &mut dyn FnMut(usize),
    ) -> Self {
        let device = net.stem.weight.val().device();
        let all: Vec<(usize, usize)> =
            (0..films.len()).flat_map(|film| (0..augment.views).map(move |view| (film, view))).collect();
        let mut rows = Self { views: augment.views, labels: Vec::new(), shape: [0; 3], values: Vec::new() };
        for batch in all.chunks(BATCH) {
            let mut planes = Vec::new();
            let mut shape = [batch.len(), 1, 0, 0];
            for &(film, view) in batch {
                if let Some((tensor, _)) = films.get(film) {
                    planes.extend(augment::view(tensor, augment, seed, film, view).plane);
                    shape = [batch.len(), 1, tensor.height, tensor.width];
                }
            }
            let planes = Tensor::<4>::from_data(TensorData::new(planes, shape), &device);
            let activations = net.forward_frozen(planes.repeat_dim(1, 3), block);
            let [_, channels, height, width] = activations.dims();
            rows.shape = [channels, height, width];
            rows.values.extend(floats(activations));
            tick(batch.len());
        }
        rows.labels = films.iter().map(|(_, label)| *label).collect();
        rows
    }

    /// Runs the rows through the rest of the backbone, to the pooled features.
    pub fn features(&self, net: &Lite0, block: usize) -> Self {
        let device = net.stem.weight.val().device();
        let all: Vec<(usize, usize)> =
            (0..self.labels.len()).flat_map(|film| (0..self.views).map(move |view| (film, view))).collect();
        let batches = all.chunks(BATCH).flat_map(|picks| floats(net.features(self.batch(picks, &device), block)));
        Self { shape: [FEATURES, 1, 1], values: batches.collect(), labels: self.labels.clone(), ..*self }
    }

    /// The rows of the given (film, view) pairs, `[pairs, channels, height, width]`.
    pub fn batch(&self, picks: &[(usize, usize)], device: &Device) -> Tensor<4> {
        let width = self.width();
        let row = |&(film, view): &(usize, usize)| {
            let start = (film * self.views + view) * width;
            self.values.get(start..start + width).unwrap_or_default()
        };
        let values: Vec<f32> = picks.iter().flat_map(row).copied().collect();
        let [channels, height, width] = self.shape;
        Tensor::from_data(TensorData::new(values, [picks.len(), channels, height, width]), device)
    }

    /// The classes of the films of the given pairs.
    pub fn labels_of(&self, picks: &[(usize, usize)]) -> Vec<i64> {
        picks.iter().filter_map(|(film, _)| self.labels.get(*film)).map(|label| *label as i64).collect()
    }

    /// Keeps the rows in a file, under the key of what they were computed from.
    ///
    /// # Errors
    /// The system's own.
    pub fn keep(&self, path: &Path, key: &[u8; 32]) -> io::Result<()> {
        let unfinished = path.with_extension("tmp");
        let mut file = BufWriter::new(File::create(&unfinished)?);
        file.write_all(key)?;
        for side in self.shape {
            file.write_all(&(side as u64).to_le_bytes())?;
        }
        for value in &self.values {
            file.write_all(&value.to_le_bytes())?;
        }
        file.into_inner()?.sync_all()?;
        fs::rename(unfinished, path)
    }

    /// Takes kept rows up again; `None` if there are none of this key.
    pub fn kept(path: &Path, key: &[u8; 32], views: usize, labels: Vec<usize>) -> Option<Self> {
        let file = File::open(path).ok()?;
        let length = file.metadata().ok()?.len();
        let mut file = BufReader::new(file);
        let mut found = [0; 32];
        file.read_exact(&mut found).ok()?;
        let mut shape = [0; 3];
        for side in &mut shape {
            let mut bytes = [0; 8];
            file.read_exact(&mut bytes).ok()?;
            *side = usize::try_from(u64::from_le_bytes(bytes)).ok()?;
        }
        let rows = labels.len().checked_mul(views)?;
        let numbers = shape.iter().try_fold(rows, |numbers, side| numbers.checked_mul(*side))?;
        if found != *key || length != HEADER + 4 * numbers as u64 {
            return None;
        }
        let mut values = Vec::with_capacity(numbers);
        let mut value = [0; 4];
        for _ in 0..numbers {
            file.read_exact(&mut value).ok()?;
            values.push(f32::from_le_bytes(value));
        }
        Some(Self { views, labels, shape, values })
    }
}

/// Everything that the rows depend on.
pub fn key(films: &[(InputTensor, usize)], augment: &Augment, seed: u64, block: usize, weights: &str) -> [u8; 32] {
    let mut digest = Sha256::new();
    digest.update(format!("{augment:?} {seed} {block} {weights} {}", env!("CARGO_PKG_VERSION")));
    for (tensor, label) in films {
        digest.update((*label as u64).to_le_bytes());
        tensor.plane.iter().for_each(|value| digest.update(value.to_le_bytes()));
    }
    digest.finalize().into()
}
