//! What a stage of training reads: films varied anew every time, or what standing blocks made of their views.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;

use burn::prelude::*;
use burn::tensor::TensorData;
use chestlight::preprocess::InputTensor;
use rand::RngExt;
use rand::rngs::StdRng;
use sha2::{Digest, Sha256};

use crate::augment;
use crate::experiment::Augment;
use crate::net::{Net, floats};
use crate::parallel;

/// Films that go through standing blocks at a time.
const BATCH: usize = 16;

/// Views from which one is drawn where every view is made anew.
const FRESH: usize = 1 << 20;

/// Bytes before the numbers of a kept file: the key and the shape.
const HEADER: u64 = 32 + 3 * 8;

/// A film and which of its views.
pub type Pick = (usize, usize);

/// Films and how they are varied.
#[derive(Clone, Debug, PartialEq)]
pub struct Films {
    /// Network inputs of equal size.
    pub tensors: Vec<InputTensor>,
    /// How views are made; validation and test films have one view.
    pub augment: Augment,
    /// From which the views are drawn.
    pub seed: u64,
}

impl Films {
    /// The given views, `[picks, 3, height, width]`.
    fn batch(&self, picks: &[Pick], device: &Device) -> Tensor<4> {
        let plane = |&(film, view): &Pick| {
            let tensor = self.tensors.get(film);
            tensor.map_or_else(Vec::new, |tensor| augment::view(tensor, &self.augment, self.seed, film, view).plane)
        };
        let planes = parallel::each(picks, plane).concat();
        let [height, width] = self.tensors.first().map_or([0, 0], |tensor| [tensor.height, tensor.width]);
        Tensor::<4>::from_data(TensorData::new(planes, [picks.len(), 1, height, width]), device).repeat_dim(1, 3)
    }

    fn picks(&self) -> Vec<Pick> {
        let views = self.augment.views;
        (0..self.tensors.len()).flat_map(|film| (0..views).map(move |view| (film, view))).collect()
    }

    /// Everything that rows made of these films depend on, but for the network.
    pub fn key(&self, block: usize, weights: &str) -> [u8; 32] {
        let mut digest = Sha256::new();
        digest.update(format!("{:?} {} {block} {weights} {}", self.augment, self.seed, env!("CARGO_PKG_VERSION")));
        for tensor in &self.tensors {
            tensor.plane.iter().for_each(|value| digest.update(value.to_le_bytes()));
        }
        digest.finalize().into()
    }
}

/// Activations of every view of every film: row `film * views + view`.
#[derive(Clone, Debug, PartialEq)]
pub struct Rows {
    /// Versions of each film.
    pub views: usize,
    films: usize,
    /// Channels, height and width of a row.
    shape: [usize; 3],
    values: Vec<f32>,
}

impl Rows {
    /// Runs every view of every film through the blocks before `block`. `tick` hears the views of every batch.
    pub fn of(net: &Net, films: &Films, block: usize, tick: &mut dyn FnMut(usize)) -> Self {
        let make = |picks: &[Pick], device: &Device| net.activations(films.batch(picks, device), 0, block);
        Self::made(net, films.tensors.len(), films.augment.views, &films.picks(), &make, tick)
    }

    /// Runs rows of block `from` through the blocks up to `to`.
    pub fn advanced(&self, net: &Net, from: usize, to: usize, tick: &mut dyn FnMut(usize)) -> Self {
        let picks: Vec<Pick> = (0..self.films).flat_map(|film| (0..self.views).map(move |view| (film, view))).collect();
        let make = |picks: &[Pick], device: &Device| net.activations(self.batch(picks, device), from, to);
        Self::made(net, self.films, self.views, &picks, &make, tick)
    }

    fn made(
        net: &Net,
        films: usize,
        views: usize,
        picks: &[Pick],
        make: &dyn Fn(&[Pick], &Device) -> Tensor<4>,
        tick: &mut dyn FnMut(usize),
    ) -> Self {
        let device = net.device();
        let mut rows = Self { views, films, shape: [0; 3], values: Vec::new() };
        for batch in picks.chunks(BATCH) {
            let activations = make(batch, &device);
            let [_, channels, height, width] = activations.dims();
            rows.shape = [channels, height, width];
            rows.values.extend(floats(activations));
            tick(batch.len());
        }
        rows
    }

    /// The rows of the given picks, `[picks, channels, height, width]`.
    fn batch(&self, picks: &[Pick], device: &Device) -> Tensor<4> {
        let width: usize = self.shape.iter().product();
        let row = |&(film, view): &Pick| {
            let start = (film * self.views + view) * width;
            self.values.get(start..start + width).unwrap_or_default()
        };
        let values: Vec<f32> = picks.iter().flat_map(row).copied().collect();
        let [channels, height, width] = self.shape;
        Tensor::from_data(TensorData::new(values, [picks.len(), channels, height, width]), device)
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

    /// Takes kept rows of so many films and views up again; `None` if there are none of this key.
    pub fn kept(path: &Path, key: &[u8; 32], films: usize, views: usize) -> Option<Self> {
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
        let numbers = shape.iter().try_fold(films.checked_mul(views)?, |numbers, side| numbers.checked_mul(*side))?;
        if found != *key || length != HEADER + 4 * numbers as u64 {
            return None;
        }
        let mut values = Vec::with_capacity(numbers);
        let mut value = [0; 4];
        for _ in 0..numbers {
            file.read_exact(&mut value).ok()?;
            values.push(f32::from_le_bytes(value));
        }
        Some(Self { views, films, shape, values })
    }
}

/// Either of them.
#[derive(Clone, Copy, Debug)]
pub enum Inputs<'a> {
    /// Every view is made anew, for a stage that trains every block.
    Fresh(&'a Films),
    /// Views that standing blocks have seen before.
    Kept(&'a Rows),
}

impl Inputs<'_> {
    /// Number of films.
    pub fn films(&self) -> usize {
        match self {
            Self::Fresh(films) => films.tensors.len(),
            Self::Kept(rows) => rows.films,
        }
    }

    /// Draws a view of a film.
    pub fn draw(&self, rng: &mut StdRng) -> usize {
        match self {
            Self::Fresh(films) if films.augment.views > 1 => rng.random_range(0..FRESH),
            Self::Fresh(_) => 0,
            Self::Kept(rows) => rng.random_range(0..rows.views.max(1)),
        }
    }

    /// The given views, `[picks, channels, height, width]`.
    pub fn batch(&self, picks: &[Pick], device: &Device) -> Tensor<4> {
        match self {
            Self::Fresh(films) => films.batch(picks, device),
            Self::Kept(rows) => rows.batch(picks, device),
        }
    }
}
