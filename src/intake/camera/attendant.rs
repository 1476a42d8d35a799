//! The thread that attends a camera: waits for orders or looks for a new film, takes it, and comes back to a camera that
//! was pulled. It works on any [`Source`].

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use super::error::CameraError;
use super::frame::{self, DecodeJpeg, GreyFrame, Layout};
use super::still::{StillFilm, Thumbnail};
use super::view::View;
use crate::retry::Retry;

/// A camera that sends nothing for so long is dead.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// How often the thread asks whether it should end.
const SLICE: Duration = Duration::from_millis(250);
/// How often it is looked whether a camera that has nothing to do is still there.
const LOOK_AFTER: Duration = Duration::from_secs(2);
/// Time between two looks for a still film.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// So many frames in a row that cannot be used are a fault. Of a camera on a long cable one is lost now and then.
const MOST_UNUSABLE: u32 = 30;
/// Frames of a slow camera are not waited for longer than so until its exposure has settled.
const MOST_SETTLING: Duration = Duration::from_secs(10);
/// How long a fault stays after an order that failed: the person who gave it must see it.
const SHOWN: Duration = Duration::from_secs(5);
/// How long somebody who orders a film waits for it: opening, settling, a frame, the disc.
const ANSWER: Duration = Duration::from_secs(60);
/// How long the end of the program waits for the thread.
const ENDING: Duration = Duration::from_secs(3);

/// A camera, as the thread sees it.
pub trait Source: Send {
    /// Whether it is still plugged in. Must cost next to nothing.
    ///
    /// # Errors
    /// [`CameraError`].
    fn is_there(&mut self) -> Result<(), CameraError>;

    /// Whether it can be used, and in which mode, in words.
    ///
    /// # Errors
    /// [`CameraError`].
    fn check(&mut self) -> Result<String, CameraError>;

    /// Begins a stream.
    ///
    /// # Errors
    /// [`CameraError`].
    fn open(&mut self) -> Result<Box<dyn Frames>, CameraError>;
}

/// A stream of frames; ends when it is dropped.
pub trait Frames {
    /// The mode, in words.
    fn mode(&self) -> String;

    /// Waits for a frame, and says whether there is one now.
    ///
    /// # Errors
    /// [`CameraError`]; the stream is then of no use any more.
    fn wait(&mut self, within: Duration) -> Result<bool, CameraError>;

    /// The frame that was waited for.
    ///
    /// # Errors
    /// [`CameraError`]; the stream is then of no use any more.
    fn next(&mut self) -> Result<Frame<'_>, CameraError>;
}

/// One frame of a stream.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'s> {
    /// Its bytes.
    pub bytes: &'s [u8],
    /// How they lie.
    pub layout: Layout,
    /// When it came.
    pub at: Instant,
}

/// How films are taken.
#[derive(Clone, Copy, Debug)]
pub struct Taking {
    /// Where the film lies in the frame.
    pub view: View,
    /// Frames of a new stream that are thrown away while the exposure settles.
    pub settle: u32,
    /// A new film is taken by itself when it was still for so many looks, 5 a second; by order alone where absent.
    pub still: Option<u32>,
    /// Most pixels of a frame.
    pub max_pixels: u64,
    /// Decodes the frames of [`super::format::PixelFormat::Mjpg`].
    pub decode_jpeg: DecodeJpeg,
}

/// Puts a film (PNG) durably into the spool and says how it is called there.
pub type Keep = Box<dyn FnMut(&[u8]) -> Result<String, String> + Send>;
/// Is told the mode of a camera that works, or what is wrong with it.
pub type Tell = Box<dyn FnMut(Result<String, String>) + Send>;

type Answer = Result<String, String>;

/// Somebody wants a film.
struct Order(Option<SyncSender<Answer>>);

impl Order {
    fn answer(self, answer: Answer) {
        if let Some(answers) = self.0 {
            // Who does not wait any more need not know.
            let _ = answers.try_send(answer);
        }
    }
}

/// Orders films. Any number of threads may.
#[derive(Clone)]
pub struct Trigger {
    orders: SyncSender<Order>,
    taking: Arc<AtomicBool>,
}

impl Trigger {
    /// Takes a film and waits until it is durably in the spool: the first digits of its digest.
    ///
    /// # Errors
    /// Why there is none, in words.
    pub fn take(&self) -> Result<String, String> {
        let (answers, answer) = sync_channel(1);
        match self.orders.try_send(Order(Some(answers))) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => return Err("another film is being taken; try again after it".into()),
            Err(TrySendError::Disconnected(_)) => return Err("the unit is ending".into()),
        }
        answer.recv_timeout(ANSWER).unwrap_or_else(|error| {
            Err(match error {
                RecvTimeoutError::Timeout => format!("the camera has not answered for {} s", ANSWER.as_secs()),
                RecvTimeoutError::Disconnected => "the unit is ending".into(),
            })
        })
    }

    /// Takes a film, unless one is being taken: whoever presses a button again does not want two.
    pub fn press(&self) {
        if self.taking.swap(true, Ordering::Relaxed) || self.orders.try_send(Order(None)).is_err() {
            log::info!("the button was pressed while a film is being taken");
        }
    }
}

/// A camera that is attended as long as this lives.
pub struct Attended {
    trigger: Trigger,
    stop: Arc<AtomicBool>,
    ended: Receiver<()>,
}

impl Attended {
    /// Begins to attend a camera on a thread of its own.
    ///
    /// # Errors
    /// The system has no thread.
    pub fn start(source: Box<dyn Source>, taking: Taking, keep: Keep, tell: Tell) -> io::Result<Self> {
        let (orders, ordered) = sync_channel(1);
        let (ending, ended) = sync_channel(1);
        let stop = Arc::new(AtomicBool::new(false));
        let trigger = Trigger { orders, taking: Arc::new(AtomicBool::new(false)) };
        let attendant = Attendant {
            source,
            still: taking.still.map(StillFilm::new),
            taking,
            keep,
            tell,
            orders: ordered,
            order: None,
            is_taking: Arc::clone(&trigger.taking),
            stop: Arc::clone(&stop),
            retry: Retry::default(),
            not_kept: Retry::default(),
        };
        thread::Builder::new().name("camera".into()).spawn(move || {
            attendant.run();
            // What it held is free: the state folder, the camera.
            drop(ending);
        })?;
        Ok(Self { trigger, stop, ended })
    }

    /// Orders films of this camera.
    pub fn trigger(&self) -> Trigger {
        self.trigger.clone()
    }
}

impl Drop for Attended {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Err(RecvTimeoutError::Timeout) = self.ended.recv_timeout(ENDING) {
            log::warn!("the camera's driver does not return; its thread ends with the program");
        }
    }
}

struct Attendant {
    source: Box<dyn Source>,
    taking: Taking,
    still: Option<StillFilm>,
    keep: Keep,
    tell: Tell,
    orders: Receiver<Order>,
    /// In hand.
    order: Option<Order>,
    is_taking: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    retry: Retry,
    /// A film lies there that could not be kept.
    not_kept: Retry,
}

impl Attendant {
    fn run(mut self) {
        while !self.is_over() {
            let ended = catch_unwind(AssertUnwindSafe(|| match self.still {
                Some(_) => self.watch(),
                None => self.wait(),
            }));
            let error = match ended {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => error,
                // The bindings panic where a driver answers against the rules.
                Err(panic) => CameraError::of_panic(&*panic),
            };
            let wrong = error.to_string();
            self.is_taking.store(false, Ordering::Relaxed);
            let now = Instant::now();
            self.retry.failed(now);
            let mut again = self.retry.at().unwrap_or(now);
            if let Some(order) = self.order.take() {
                order.answer(Err(wrong.clone()));
                again = again.max(now + SHOWN);
            }
            (self.tell)(Err(wrong));
            self.rest(again);
        }
    }

    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Waits until it is time to try again, or somebody wants it sooner.
    fn rest(&mut self, until: Instant) {
        while !self.is_over() && self.order.is_none() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            self.order = self.orders.recv_timeout(left.min(SLICE)).ok();
        }
    }

    fn works(&mut self, mode: String) {
        self.retry.succeeded();
        (self.tell)(Ok(mode));
    }

    /// Takes films by order; the camera rests meanwhile.
    fn wait(&mut self) -> Result<(), CameraError> {
        if self.order.is_none() {
            let mode = self.source.check()?;
            self.works(mode);
        }
        loop {
            self.rest(Instant::now() + LOOK_AFTER);
            if self.is_over() {
                return Ok(());
            }
            if self.order.is_none() {
                self.source.is_there()?;
                continue;
            }
            self.is_taking.store(true, Ordering::Relaxed);
            let Some((frame, mode)) = one_frame(&mut *self.source, &self.taking, &self.stop)? else { return Ok(()) };
            self.take(&frame)?;
            self.works(mode);
        }
    }

    /// Takes films by order, and every new one that lies still.
    fn watch(&mut self) -> Result<(), CameraError> {
        let mut frames = self.source.open()?;
        if settled(&mut *frames, &self.taking, &self.stop)?.is_none() {
            return Ok(());
        }
        self.works(frames.mode());
        let (mut look_at, mut unusable) = (None, 0);
        while let Some(frame) = next(&mut *frames, &self.stop)? {
            self.order = self.order.take().or_else(|| self.orders.try_recv().ok());
            if self.order.is_none() && look_at.is_some_and(|look_at| frame.at < look_at) {
                continue;
            }
            let at = frame.at;
            let Some(grey) = grey(frame, &self.taking, &mut unusable)? else { continue };
            look_at = Some(at + LOOK_EVERY);
            let seen = Thumbnail::of(&grey, &self.taking.view);
            let is_new = self.still.as_mut().is_some_and(|still| still.look(seen));
            let taken = if self.order.is_some() || is_new { self.take(&grey) } else { Ok(()) };
            match taken {
                Ok(()) if self.not_kept.is_failing() => {
                    // It was kept after all, or it was taken away.
                    self.not_kept.succeeded();
                    self.works(frames.mode());
                }
                Ok(()) => {}
                // The camera is well, so it goes on looking; the film is told again by its next look.
                Err(error @ CameraError::NotKept(_)) if self.order.is_none() => {
                    let now = Instant::now();
                    self.not_kept.failed(now);
                    look_at = self.not_kept.at().map(|again| at + again.saturating_duration_since(now));
                    self.still.iter_mut().for_each(StillFilm::failed);
                    (self.tell)(Err(error.to_string()));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Makes a film of a frame, keeps it, and answers the order in hand. An error leaves the order there.
    fn take(&mut self, frame: &GreyFrame) -> Result<(), CameraError> {
        self.is_taking.store(true, Ordering::Relaxed);
        let png = self.taking.view.film(frame).png();
        let kept = png.map_err(CameraError::from).and_then(|png| (self.keep)(&png).map_err(CameraError::NotKept));
        self.is_taking.store(false, Ordering::Relaxed);
        let digest = kept?;
        log::info!("film {digest} came from the camera");
        self.still.iter_mut().for_each(StillFilm::took);
        if let Some(order) = self.order.take() {
            order.answer(Ok(digest));
        }
        Ok(())
    }
}

/// One frame of a camera that rests otherwise, with its mode in words; none where `stop` says so meanwhile.
///
/// # Errors
/// [`CameraError`].
pub fn one_frame(
    source: &mut dyn Source,
    taking: &Taking,
    stop: &AtomicBool,
) -> Result<Option<(GreyFrame, String)>, CameraError> {
    let mut frames = source.open()?;
    let frame = settled(&mut *frames, taking, stop)?;
    Ok(frame.map(|frame| (frame, frames.mode())))
}

/// The first frame that can be used after the exposure has settled.
fn settled(frames: &mut dyn Frames, taking: &Taking, stop: &AtomicBool) -> Result<Option<GreyFrame>, CameraError> {
    let (mut begun, mut passed, mut unusable) = (None, 0, 0);
    while let Some(frame) = next(frames, stop)? {
        let since = frame.at.saturating_duration_since(*begun.get_or_insert(frame.at));
        if passed < taking.settle && since < MOST_SETTLING {
            passed += 1;
        } else if let Some(grey) = grey(frame, taking, &mut unusable)? {
            return Ok(Some(grey));
        }
    }
    Ok(None)
}

/// The next frame; none where the thread is to end.
fn next<'f>(frames: &'f mut dyn Frames, stop: &AtomicBool) -> Result<Option<Frame<'f>>, CameraError> {
    let until = Instant::now() + PATIENCE;
    while !stop.load(Ordering::Relaxed) {
        if frames.wait(SLICE)? {
            return frames.next().map(Some);
        }
        if Instant::now() >= until {
            return Err(CameraError::Silent(PATIENCE));
        }
    }
    Ok(None)
}

/// The grey of a frame; none of one that cannot be used, if they are few.
fn grey(frame: Frame<'_>, taking: &Taking, unusable: &mut u32) -> Result<Option<GreyFrame>, CameraError> {
    match frame::grey(frame.bytes, &frame.layout, taking.max_pixels, taking.decode_jpeg) {
        Ok(grey) => {
            *unusable = 0;
            Ok(Some(grey))
        }
        Err(last) => {
            *unusable += 1;
            if *unusable < MOST_UNUSABLE { Ok(None) } else { Err(CameraError::Unusable { frames: *unusable, last }) }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::{Sender, channel};

    use super::*;
    use crate::decode;
    use crate::intake::camera::format::PixelFormat;
    use crate::radiograph::Grey;

    const SIDE: u32 = 64;

    /// What a camera of a test sees next.
    #[derive(Clone, Copy)]
    enum Scene {
        Bare,
        Film,
        /// Half a frame.
        Torn,
        /// Its plug is pulled.
        Pulled,
        /// Its driver answers against the rules.
        Nonsense,
    }

    #[derive(Clone)]
    struct Fake {
        there: Arc<AtomicBool>,
        scenes: Arc<Mutex<Receiver<Scene>>>,
        clock: Arc<Mutex<Instant>>,
    }

    impl Source for Fake {
        fn is_there(&mut self) -> Result<(), CameraError> {
            let there = self.there.load(Ordering::Relaxed);
            if there { Ok(()) } else { Err(CameraError::NotThere("fake".into())) }
        }

        fn check(&mut self) -> Result<String, CameraError> {
            self.is_there().map(|()| "fake".into())
        }

        fn open(&mut self) -> Result<Box<dyn Frames>, CameraError> {
            self.is_there()?;
            Ok(Box::new(FakeFrames { fake: self.clone(), scene: Scene::Bare, bytes: Vec::new() }))
        }
    }

    struct FakeFrames {
        fake: Fake,
        scene: Scene,
        bytes: Vec<u8>,
    }

    impl Frames for FakeFrames {
        fn mode(&self) -> String {
            "fake".into()
        }

        fn wait(&mut self, within: Duration) -> Result<bool, CameraError> {
            match self.fake.scenes.lock().unwrap().recv_timeout(within) {
                Ok(scene) => {
                    self.scene = scene;
                    Ok(true)
                }
                Err(_) => Ok(false),
            }
        }

        fn next(&mut self) -> Result<Frame<'_>, CameraError> {
            let pixel = |at: u32| match self.scene {
                Scene::Bare => 230,
                _ => [60, 200][(at / SIDE / 4 + at % SIDE / 4) as usize % 2],
            };
            self.bytes = (0..SIDE * SIDE).map(pixel).collect();
            match self.scene {
                Scene::Torn => self.bytes.truncate(100),
                Scene::Pulled => {
                    self.fake.there.store(false, Ordering::Relaxed);
                    return Err(CameraError::NotThere("pulled".into()));
                }
                Scene::Nonsense => panic!("nonsense"),
                Scene::Bare | Scene::Film => {}
            }
            // As far apart as looks are.
            let mut clock = self.fake.clock.lock().unwrap();
            *clock += LOOK_EVERY;
            let layout = Layout { format: PixelFormat::Grey, width: SIDE, height: SIDE, stride: 0 };
            Ok(Frame { bytes: &self.bytes, layout, at: *clock })
        }
    }

    /// A camera that is attended, with a hand on everything that it sees and says.
    struct Desk {
        camera: Attended,
        there: Arc<AtomicBool>,
        scenes: Sender<Scene>,
        told: Receiver<Result<String, String>>,
        kept: Receiver<Vec<u8>>,
        /// What becomes of the next films; kept where nothing stands here.
        fates: Sender<String>,
    }

    fn desk(still: Option<u32>) -> Desk {
        let (scenes, seen) = channel();
        let (tell, told) = channel();
        let (keep, kept) = channel();
        let (fates, fate) = channel::<String>();
        let there = Arc::new(AtomicBool::new(true));
        let fake = Fake {
            there: Arc::clone(&there),
            scenes: Arc::new(Mutex::new(seen)),
            clock: Arc::new(Mutex::new(Instant::now())),
        };
        let taking = Taking {
            view: View::new([[0, 0], [2, 0], [2, 1], [0, 1]], [2, 2]).unwrap(),
            settle: 2,
            still,
            max_pixels: 1 << 20,
            decode_jpeg: |_, _| Err("no JPEG here".into()),
        };
        let keep = move |png: &[u8]| match fate.try_recv() {
            Ok(wrong) => Err(wrong),
            Err(_) => keep.send(png.to_vec()).map(|()| "0123abcd".to_owned()).map_err(|error| error.to_string()),
        };
        let tell = move |works| drop(tell.send(works));
        let camera = Attended::start(Box::new(fake), taking, Box::new(keep), Box::new(tell)).unwrap();
        Desk { camera, there, scenes, told, kept, fates }
    }

    impl Desk {
        fn see(&self, scene: Scene, frames: usize) {
            (0..frames).for_each(|_| self.scenes.send(scene).unwrap());
        }

        fn hears(&self, works: bool) -> String {
            let (Ok(words) | Err(words)) =
                self.told.iter().find(|told| told.is_ok() == works).expect("the thread is there");
            words
        }
    }

    #[test]
    fn an_order_is_answered_when_the_film_is_kept_and_the_film_is_what_the_view_shows() {
        let desk = desk(None);
        assert_eq!(desk.hears(true), "fake");
        // Two settle, one is lost on the way.
        desk.see(Scene::Bare, 2);
        desk.see(Scene::Torn, 1);
        desk.see(Scene::Film, 1);
        assert_eq!(desk.camera.trigger().take(), Ok("0123abcd".into()));
        let film = decode::decode(&desk.kept.recv().unwrap(), &decode::Limits::default()).unwrap();
        assert_eq!((film.width(), film.height()), (SIDE, SIDE / 2));
        let Grey::U8(samples) = film.pixels() else { panic!("8 bits came") };
        assert_eq!(samples[..6], [60, 60, 60, 60, 200, 200]);
    }

    #[test]
    fn a_film_that_cannot_be_kept_is_an_answer_and_a_fault_and_the_next_order_is_tried_at_once() {
        let desk = desk(None);
        desk.hears(true);
        desk.fates.send("the disc is nearly full".into()).unwrap();
        desk.see(Scene::Film, 3);
        let refused = desk.camera.trigger().take().unwrap_err();
        assert!(refused.contains("the disc is nearly full") && desk.hears(false) == refused);
        desk.see(Scene::Film, 3);
        assert!(desk.camera.trigger().take().is_ok());
        desk.hears(true);
    }

    #[test]
    fn a_camera_that_is_pulled_is_a_fault_until_it_is_back() {
        for still in [None, Some(3)] {
            let desk = desk(still);
            desk.see(Scene::Bare, 3);
            desk.hears(true);
            match still {
                Some(_) => desk.see(Scene::Pulled, 1),
                None => desk.there.store(false, Ordering::Relaxed),
            }
            desk.hears(false);
            assert!(desk.camera.trigger().take().unwrap_err().contains("no camera"));
            desk.there.store(true, Ordering::Relaxed);
            desk.see(Scene::Film, 3);
            let _ = desk.camera.trigger().take();
            desk.hears(true);
        }
    }

    #[test]
    fn a_new_still_film_is_kept_once_also_when_the_camera_is_pulled_meanwhile() {
        let desk = desk(Some(3));
        // Two settle and one begins; then the film lies still.
        desk.see(Scene::Bare, 4);
        desk.see(Scene::Film, 20);
        desk.hears(true);
        desk.kept.recv().unwrap();
        desk.see(Scene::Pulled, 1);
        desk.hears(false);
        desk.there.store(true, Ordering::Relaxed);
        desk.see(Scene::Film, 20);
        desk.see(Scene::Bare, 1);
        desk.hears(true);
        desk.see(Scene::Film, 3);
        desk.kept.recv().unwrap();
        // Everything was looked at when this is answered: there were two films.
        desk.see(Scene::Film, 1);
        let trigger = desk.camera.trigger();
        let ordered = thread::spawn(move || trigger.take());
        desk.see(Scene::Film, 1);
        desk.kept.recv().unwrap();
        ordered.join().unwrap().unwrap();
        assert!(desk.kept.try_recv().is_err());
    }

    #[test]
    fn a_still_film_that_cannot_be_kept_is_taken_when_it_can() {
        let desk = desk(Some(3));
        desk.fates.send("the disc is nearly full".into()).unwrap();
        desk.see(Scene::Bare, 4);
        desk.see(Scene::Film, 3);
        assert!(desk.hears(false).contains("nearly full"));
        desk.see(Scene::Film, 4);
        desk.kept.recv().unwrap();
        assert_eq!(desk.told.recv().unwrap(), Ok("fake".into()), "the fault stays until then, without a word between");
    }

    #[test]
    fn a_driver_that_answers_nonsense_or_frames_that_never_come_whole_end_nothing() {
        let desk = desk(Some(3));
        desk.see(Scene::Nonsense, 1);
        assert!(desk.hears(false).contains("nonsense"));
        desk.see(Scene::Torn, 2 + MOST_UNUSABLE as usize);
        assert!(desk.hears(false).contains("frames in a row"));
        desk.see(Scene::Bare, 3);
        desk.hears(true);
    }

    #[test]
    fn a_button_that_is_pressed_again_while_a_film_is_being_taken_makes_no_second_one() {
        let desk = desk(None);
        desk.hears(true);
        let trigger = desk.camera.trigger();
        (0..3).for_each(|_| trigger.press());
        desk.see(Scene::Film, 3);
        desk.kept.recv().unwrap();
        desk.hears(true);
        // Would another order wait, it would take these frames.
        desk.see(Scene::Film, 3);
        trigger.take().unwrap();
        desk.kept.recv().unwrap();
        trigger.press();
        desk.see(Scene::Film, 3);
        desk.kept.recv().unwrap();
        assert!(desk.kept.try_recv().is_err());
    }
}
