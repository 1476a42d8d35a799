//! What an experiment must keep to before anything is read or trained.

use std::collections::BTreeSet;

use super::{Augment, Experiment, Fold, Gate, Loss, Observer, Selection, Stage};
use crate::finding::Finding;

const STAGE_RULE: &str = "must have learning_rate and reduce_by above 0 and below 1, batch 1 to 4,096, \
                          and reduce_after and stop_after above 0";

impl Experiment {
    /// Why it cannot be run: the key, and what it must be.
    pub fn wrong(&self) -> Option<(&'static str, &'static str)> {
        let Self { input, split, augment, loss, .. } = self;
        let fraction = |value: f64| value > 0.0 && value < 1.0;
        let half = |value: f32| (0.0..=0.5).contains(&value);
        let stage = |stage: &Stage| {
            fraction(stage.learning_rate)
                && (1..=4_096).contains(&stage.batch)
                && fraction(stage.reduce_by)
                && stage.reduce_after > 0
                && stage.stop_after > 0
        };
        let rules = [
            ("input", "must have sides that are multiples of 32, 32 to 1,024", {
                let side = |side: u32| side.is_multiple_of(32) && (32..=1_024).contains(&side);
                side(input.width) && side(input.height)
            }),
            ("input.std", "must be above 0", input.std > 0.0),
            ("input.margin", "must be 0 to 0.4", (0.0..=0.4).contains(&input.margin)),
            ("limits", "must say what the figures do not show", !self.limits.trim().is_empty()),
            ("classes", "must be three different findings, and not-covid19 is none", {
                let [a, b, c] = self.classes;
                a != b && b != c && a != c && !self.classes.contains(&Finding::NotCovid19)
            }),
            ("films", "must ask for films of every class and of nothing that no class allows", {
                let asked = |class: &Finding| self.films.iter().any(|films| films.class == *class);
                let told = |films: &Selection| films.class.allowed(&self.classes).contains(&true);
                self.classes.iter().all(asked) && self.films.iter().all(told)
            }),
            ("split", "must have test and validation above 0 and below 1", {
                fraction(split.test) && fraction(split.validation)
            }),
            ("split.fold", "must be 1 to `of`, of 2 to 20, and not beside leave_out", {
                split.fold.is_none_or(|Fold { number, of }| {
                    (2..=20).contains(&of) && (1..=of).contains(&number) && split.leave_out.is_none()
                })
            }),
            ("augment.views", "must be 1 to 64", (1..=64).contains(&augment.views)),
            ("augment.rotate", "must be 0 to 45", (0.0..=45.0).contains(&augment.rotate)),
            ("augment", "must have zoom, shift, contrast, noise and border of 0 to 0.5", {
                let Augment { zoom, shift, contrast, noise, border, .. } = *augment;
                [zoom, shift, contrast, noise, border].into_iter().all(half)
            }),
            ("augment.blur", "must be 0 to 4", (0.0..=4.0).contains(&augment.blur)),
            ("augment", "must have jpeg of 0 to 100 and boxes of 0 to 16", augment.jpeg <= 100 && augment.boxes <= 16),
            ("loss", "must have smoothing and mixup of 0 to 0.5, teacher of 0 to 1 and temperature of 1 to 20", {
                let Loss { smoothing, mixup, teacher, temperature, .. } = *loss;
                half(smoothing) && half(mixup) && (0.0..=1.0).contains(&teacher) && (1.0..=20.0).contains(&temperature)
            }),
            ("stages", "must be at least one, with different names that are not empty", {
                let names: BTreeSet<&str> = self.stages.iter().map(|stage| stage.name.as_str()).collect();
                !names.is_empty() && names.len() == self.stages.len() && !names.contains("")
            }),
            ("stages", STAGE_RULE, self.stages.iter().all(stage)),
            ("stages", "must have train_from_block of 0 to the number of blocks of the architecture", {
                self.stages.iter().all(|stage| stage.train_from_block <= self.architecture.blocks())
            }),
            ("average", "must be above 0 and below 1", self.average.is_none_or(fraction)),
            ("int8.observer", "must have a percentile of 0.99 to 1", {
                !matches!(self.int8.observer, Observer::Percentile(inside) if !(0.99..=1.0).contains(&inside))
            }),
            ("int8.weight_bits", "must be 7 or 8", (7..=8).contains(&self.int8.weight_bits)),
            ("offsets", "need the classes of a device", !self.offsets || self.classes == Finding::DEVICE),
            ("refer_below", "must be 0 to 1", (0.0..=1.0).contains(&self.refer_below)),
            ("sensitivity", "must be 0.5 to 1", (0.5..=1.0).contains(&self.sensitivity)),
            (
                "gate",
                "must have a block of the architecture, refused above 0 and at most 0.2, and ages in their order",
                {
                    let Gate { block, refused, ages } = &self.gate;
                    block.is_none_or(|block| block < self.architecture.blocks())
                        && *refused > 0.0
                        && *refused <= 0.2
                        && ages.is_none_or(|[from, to]| 0.0 <= from && from < to && to <= 150.0)
                },
            ),
        ];
        rules.into_iter().find(|(_, _, holds)| !holds).map(|(key, wrong, _)| (key, wrong))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::experiment::ExperimentError;

    const DATASET1: &str = include_str!("../../experiments/dataset1-lite0.toml");

    fn read(text: &str) -> Result<Experiment, ExperimentError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("experiment.toml");
        fs::write(&path, text).unwrap();
        Experiment::read(&path)
    }

    #[test]
    fn every_experiment_of_the_folder_is_valid_and_survives_writing() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments");
        let files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(!files.is_empty());
        for file in files {
            let experiment = Experiment::read(&file).unwrap();
            assert_eq!(read(&toml::to_string(&experiment).unwrap()).unwrap(), experiment, "{}", file.display());
        }
    }

    #[test]
    fn a_bad_value_is_told_with_its_key() {
        for (from, to, told) in [
            ("width = 224", "width = 225", "input must"),
            ("std = 128.0", "std = 0.0", "input.std must"),
            ("class = \"covid19\"", "class = \"normal\"", "films must"),
            ("class = \"covid19\"", "class = \"viral\"", "films must"),
            ("class = \"covid19\"", "class = \"fungal\"", "fungal"),
            ("test = 0.2", "test = 1.0", "split must"),
            ("views = ", "views = 0 #", "augment.views must"),
            ("rotate = ", "rotate = 90 #", "augment.rotate must"),
            ("zoom = ", "zoom = 0.6 #", "augment must"),
            ("views = ", "blur = 5\nviews = ", "augment.blur must"),
            ("learning_rate = ", "learning_rate = 0 #", "stages must"),
            ("train_from_block = ", "train_from_block = 19 #", "stages must"),
            ("name = \"tune\"", "name = \"head\"", "stages must"),
            ("[split]", "[loss]\ntemperature = 0.5\n[split]", "loss must"),
            ("validation = ", "fold = { number = 6, of = 5 }\nvalidation = ", "split.fold must"),
            ("[split]", "[loss]\nmixup = 0.7\n[split]", "loss must"),
            ("refer_below = ", "average = 1.0\nrefer_below = ", "average must"),
            ("refer_below = ", "int8 = { observer = { percentile = 0.9 } }\nrefer_below = ", "int8.observer must"),
            ("refer_below = ", "int8 = { weight_bits = 6 }\nrefer_below = ", "int8.weight_bits must"),
            (
                "refer_below = ",
                "offsets = true\nclasses = ['covid19', 'normal', 'bacterial']\nrefer_below = ",
                "offsets need",
            ),
            ("limits = ", "limits = '' #", "limits must"),
            ("refer_below = ", "sensitivity = 0.4\nrefer_below = ", "sensitivity must"),
            ("refer_below = ", "gate = { block = 18 }\nrefer_below = ", "gate must"),
            ("refer_below = ", "gate = { refused = 0.5 }\nrefer_below = ", "gate must"),
            ("refer_below = ", "gate = { ages = [18, 1] }\nrefer_below = ", "gate must"),
            ("refer_below = ", "refer_below = 2 #", "refer_below must"),
            ("seed = ", "sead = ", "sead"),
        ] {
            assert!(DATASET1.contains(from), "{from}");
            let error = read(&DATASET1.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(told), "{from} -> {to}: {error}");
        }
    }
}
