//! A small data set of phantoms and an experiment on it, for training that takes seconds.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use chestlight_trainer::phantoms;

/// Films of each class.
pub const EACH: u64 = 20;

/// Where everything lies.
pub struct PhantomFilms {
    #[allow(dead_code, reason = "the resume test needs it only to stay there")]
    pub folder: tempfile::TempDir,
    pub index: PathBuf,
    pub experiment: PathBuf,
}

/// Draws the films and writes index and experiment.
pub fn draw() -> PhantomFilms {
    let folder = tempfile::tempdir().unwrap();
    let index = phantoms::draw(folder.path(), EACH).unwrap();
    let experiment = folder.path().join("experiment.toml");
    let mut text = String::from(
        "seed = 1\narchitecture = \"efficientnet-lite0\"\nrefer_below = 0.4\n\
         limits = \"Phantoms show no disease.\"\n\
         [input]\nwidth = 64\nheight = 64\nfit = \"stretch\"\nexposure_low = 0.01\nexposure_high = 0.99\n\
         mean = 127.0\nstd = 128.0\n\
         [split]\nseed = 1\ntest = 0.2\nvalidation = 0.25\n\
         [augment]\nviews = 2\nrotate = 5.0\nzoom = 0.05\nshift = 0.05\ncontrast = 0.1\n\
         [[stages]]\nname = \"head\"\ntrain_from_block = 18\n\
         learning_rate = 1e-2\nbatch = 8\nepochs = 6\nreduce_after = 2\nreduce_by = 0.5\nstop_after = 6\n\
         [[stages]]\nname = \"tune\"\ntrain_from_block = 14\n\
         learning_rate = 1e-3\nbatch = 8\nepochs = 3\nreduce_after = 1\nreduce_by = 0.5\nstop_after = 3\n",
    );
    for (class, label) in [("normal", "normal"), ("bacterial", "bacterial"), ("covid19", "covid")] {
        write!(text, "[[films]]\nclass = \"{class}\"\nlabel = \"{label}\"\nsource = \"drawn\"\nat_most = 100\n")
            .unwrap();
    }
    fs::write(&experiment, text).unwrap();
    PhantomFilms { folder, index, experiment }
}
