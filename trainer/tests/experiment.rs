//! Whole experiments through the real program: one job, a sweep with a plan, the paper's four models, distillation.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test says what it expects by unwrapping")]

mod program;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use chestlight_trainer::phantoms;
use program::{done, text, trainer};

/// The experiment that ships for trying.
fn tiny() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments/tiny.toml")
}

fn json(path: &Path) -> serde_json::Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// The same experiment with other lines.
fn varied(folder: &Path, name: &str, changes: &[(&str, &str)]) -> PathBuf {
    let mut text = fs::read_to_string(tiny()).unwrap();
    for (from, to) in changes {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    let path = folder.join(name).with_extension("toml");
    fs::write(&path, text).unwrap();
    path
}

#[test]
fn the_tiny_experiment_runs_every_stage_and_the_same_seed_gives_the_same_weights() {
    let folder = tempfile::tempdir().unwrap();
    let index = phantoms::draw(&folder.path().join("films"), 20).unwrap();
    let [first, second] = ["first", "second"].map(|run| folder.path().join(run));
    for run in [&first, &second] {
        done(&["experiment", "run", "--experiment", text(&tiny()), "--index", text(&index), "--run", text(run)]);
    }
    for file in ["model.onnx", "split.csv", "f32.onnx"] {
        assert_eq!(fs::read(first.join(file)).unwrap(), fs::read(second.join(file)).unwrap(), "{file}");
    }
    let curve = fs::read_to_string(first.join("curve.csv")).unwrap();
    for stage in ["all", "last convolution", "head"] {
        assert!(curve.contains(&format!("\n{stage},1,")), "{curve}");
    }
    let result = json(&first.join("result.json"));
    assert_eq!((&result["name"], &result["seed"]), (&"tiny".into(), &1.into()));
    assert!(result["controls"]["normal, drawn elsewhere"]["all"].as_u64().unwrap() >= 5, "{result}");
    let provenance = json(&first.join("run.json"));
    assert_eq!(provenance["index"].as_str().unwrap().len(), 64);
    assert_eq!(provenance["program"].as_str().unwrap().len(), 64);

    // A job that is done does nothing, and says what it found.
    fs::remove_dir_all(first.join("checkpoint")).unwrap();
    let again =
        done(&["experiment", "run", "--experiment", text(&tiny()), "--index", text(&index), "--run", text(&first)]);
    assert!(again.contains("accuracy"), "{again}");
    assert!(!first.join("checkpoint").exists());
}

#[test]
fn the_jobs_of_a_plan_run_in_any_shell_and_their_results_are_joined() {
    let folder = tempfile::tempdir().unwrap();
    let index = phantoms::draw(&folder.path().join("films"), 12).unwrap();
    let quick = varied(folder.path(), "quick", &[("epochs = 12", "epochs = 1"), ("epochs = 3", "epochs = 1")]);
    let runs = folder.path().join("runs and spaces");
    let arguments =
        ["experiment", "plan", "--experiment", text(&quick), "--index", text(&index), "--runs", text(&runs)];
    let plan = done(&[arguments.as_slice(), &["--seeds", "2", "--folds", "2"]].concat());
    let jobs: Vec<&str> = plan.lines().collect();
    assert_eq!(jobs.len(), 4, "{plan}");
    // The first three only: the table must tell what is missing.
    fs::create_dir_all(runs.join("quick-seed2-fold2of2")).unwrap();
    fs::copy(&quick, runs.join("quick-seed2-fold2of2/experiment.toml")).unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_chestlight-trainer")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    for job in &jobs[..3] {
        let status = Command::new("sh").args(["-c", job]).env("PATH", &path).stdout(Stdio::null()).status().unwrap();
        assert!(status.success(), "{job}");
    }
    let table = done(&["experiment", "collect", "--runs", text(&runs)]);
    assert!(table.contains("| quick | 3 |") && table.contains("Not finished: quick-seed2-fold2of2"), "{table}");
    let joined: serde_json::Value =
        serde_json::from_str(&done(&["experiment", "collect", "--runs", text(&runs), "--json"])).unwrap();
    assert_eq!(joined["results"].as_object().unwrap().len(), 3);

    let sources = done(&[arguments.as_slice(), &["--leave-one-source-out"]].concat());
    assert!(sources.contains("--leave-out elsewhere"), "{sources}");
    assert!(sources.contains("# ") && sources.contains("drawn"), "a source that cannot be left out is told: {sources}");
}

#[test]
fn the_papers_four_models_run_one_after_the_other_and_a_missing_one_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let index = phantoms::draw(&folder.path().join("films"), 16).unwrap();
    let quick = [("epochs = 12", "epochs = 1"), ("epochs = 3", "epochs = 1"), ("average = 0.9\n", "")];
    let viral = [
        ("seed = 1\narchitecture", "seed = 1\nclasses = [\"normal\", \"bacterial\", \"viral\"]\narchitecture"),
        ("class = \"covid19\"\nlabel = \"covid\"", "class = \"viral\"\nlabel = \"viral\""),
        ("class = \"not-covid19\"", "class = \"normal\""),
        ("test = 0.2", "test = 0.3"),
    ];
    varied(folder.path(), "paper-model0", &[quick.as_slice(), &viral].concat());
    varied(folder.path(), "paper-model1", &quick);
    let begin = ("norm = \"batch\"", "norm = \"batch\"\nbegin = \"run\"");
    varied(folder.path(), "paper-model2", &[quick.as_slice(), &[begin]].concat());
    varied(folder.path(), "paper-model3", &[("norm = \"batch\"", "begin = \"weights\"")]);
    let runs = folder.path().join("runs");
    let experiments = text(folder.path());
    let arguments = ["experiment", "paper", "--index", text(&index), "--runs", text(&runs)];
    let table = done(&[arguments.as_slice(), &["--experiments", experiments]].concat());
    for (model, told) in [(0, "not told"), (1, "92.32%"), (2, "95.65%"), (3, "missing")] {
        let line = table.lines().find(|line| line.starts_with(&format!("| paper-model{model} |"))).unwrap();
        assert!(line.contains(told), "{line}");
    }
    assert!(table.contains("confounded") && table.contains("not a diagnosis"), "{table}");
    assert_eq!(json(&runs.join("paper-model0/result.json"))["classes"][2], "viral");
}

#[test]
fn a_student_learns_from_teachers_or_begins_with_their_mean_and_with_none_that_has_seen_its_test_films() {
    let folder = tempfile::tempdir().unwrap();
    let index = phantoms::draw(&folder.path().join("films"), 12).unwrap();
    let quick = [("epochs = 12", "epochs = 1"), ("epochs = 3", "epochs = 1")];
    let teacher = varied(folder.path(), "teacher", &quick);
    let student = varied(
        folder.path(),
        "student",
        &[quick.as_slice(), &[("balance", "teacher = 0.7\ntemperature = 2.0\nbalance")]].concat(),
    );
    let other = varied(folder.path(), "other", &[quick.as_slice(), &[("seed = 1\ntest", "seed = 2\ntest")]].concat());
    let begin = ("norm = \"batch\"", "norm = \"batch\"\nbegin = \"run\"");
    let mean = varied(folder.path(), "mean", &[quick.as_slice(), &[begin]].concat());
    let run = |name: &str| folder.path().join(name).with_extension("run");
    let train = |name: &str, experiment: &Path, more: &[&str]| {
        let run = run(name);
        let arguments = ["train", "--experiment", text(experiment), "--index", text(&index), "--run", text(&run)];
        trainer(&[arguments.as_slice(), more].concat())
    };
    for (name, experiment, more) in
        [("teacher1", &teacher, [].as_slice()), ("teacher2", &teacher, &["--seed", "2"]), ("other", &other, &[])]
    {
        let output = train(name, experiment, more);
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let (one, two, wrong, unlike) = (run("teacher1"), run("teacher2"), run("other"), run("student"));
    let taught = train("student", &student, &["--teacher", text(&one), "--teacher", text(&two)]);
    assert!(taught.status.success(), "{}", String::from_utf8_lossy(&taught.stderr));
    let between = train("mean", &mean, &["--from", text(&one), "--from", text(&two)]);
    assert!(between.status.success(), "{}", String::from_utf8_lossy(&between.stderr));
    assert_eq!(json(&run("mean").join("run.json"))["begin"], "network of experiment with seed 1, 2");
    for (name, experiment, more, told) in [
        ("whispered", &student, ["--teacher", text(&wrong)].as_slice(), "other parts"),
        ("untaught", &student, &[], "go together"),
        ("unasked", &teacher, &["--teacher", text(&one)], "go together"),
        ("unlike", &mean, &["--from", text(&one), "--from", text(&unlike)], "in more than the seed"),
        ("seen", &mean, &["--from", text(&one), "--from", text(&wrong)], "trained on patients of"),
    ] {
        let output = train(name, experiment, more);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && stderr.contains(told), "{name}: {stderr}");
    }
}

/// The learning curve without the wall times.
fn curve(run: &Path) -> Vec<Vec<String>> {
    let mut file = csv::Reader::from_path(run.join("curve.csv")).unwrap();
    let rows = file.records().map(|row| row.unwrap().iter().map(str::to_owned).collect::<Vec<_>>());
    rows.map(|mut row| {
        row.pop();
        row
    })
    .collect()
}

#[test]
fn a_training_that_was_killed_and_then_met_a_full_disc_goes_on_as_if_it_had_not() {
    let folder = tempfile::tempdir().unwrap();
    let index = phantoms::draw(&folder.path().join("films"), 12).unwrap();
    let quick = varied(folder.path(), "quick", &[("epochs = 12", "epochs = 5"), ("epochs = 3", "epochs = 1")]);
    let run = |name: &str| folder.path().join(name);
    let arguments = |run: &Path| {
        ["train", "--experiment", text(&quick), "--index", text(&index), "--run", text(run)].map(str::to_owned)
    };
    let (whole, broken) = (run("whole"), run("broken"));
    let output = Command::new(env!("CARGO_BIN_EXE_chestlight-trainer")).args(arguments(&whole)).output().unwrap();
    assert!(output.status.success());

    let mut killed = Command::new(env!("CARGO_BIN_EXE_chestlight-trainer"))
        .args(arguments(&broken))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let told = BufReader::new(killed.stderr.take().unwrap()).lines();
    assert!(told.map_while(Result::ok).any(|line| line.contains("all 2:")), "two epochs");
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert!(!broken.join("network.bpk").exists());

    // No file may grow beyond 64 KiB: the next checkpoint fails in the middle of its write.
    let limited = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 128; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_chestlight-trainer")])
        .args(arguments(&broken))
        .arg("--resume")
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&limited.stderr);
    assert_eq!(limited.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("the checkpoint in"), "{stderr}");

    let resumed = Command::new(env!("CARGO_BIN_EXE_chestlight-trainer"))
        .args(arguments(&broken))
        .arg("--resume")
        .output()
        .unwrap();
    assert!(resumed.status.success(), "{}", String::from_utf8_lossy(&resumed.stderr));
    assert_eq!(curve(&broken), curve(&whole));
}
