//! Wakers and errors are foreign code, which may call the cache: none of it runs or is dropped under its lock.

use std::{error::Error, fmt, sync::Mutex};

use super::*;

/// Records, each time it is woken or dropped, whether the cache can be asked.
struct Probe {
    scene: Arc<Scene>,
    notes: Arc<Mutex<Vec<bool>>>,
}

impl Probe {
    fn new(scene: &Arc<Scene>) -> (Self, Arc<Mutex<Vec<bool>>>) {
        let notes = Arc::<Mutex<_>>::default();
        (Self { scene: Arc::clone(scene), notes: Arc::clone(&notes) }, notes)
    }

    fn note(&self) {
        let can_be_asked = self.scene.cache.state.try_lock().is_ok();
        if can_be_asked {
            self.scene.ask(Trigger::Missing, 0.0);
        }
        self.notes.lock().unwrap().push(can_be_asked);
    }
}

impl Wake for Probe {
    fn wake(self: Arc<Self>) {
        self.note();
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.note();
    }
}

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Probe")
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("foreign")
    }
}

impl Error for Probe {}

fn failed(probe: Probe) -> End {
    End::Failed { error: AuthError::new(ErrorKind::Unavailable, "down").with_source(probe), backoff: SECOND }
}

fn taken(notes: &Mutex<Vec<bool>>) -> Vec<bool> {
    std::mem::take(&mut notes.lock().unwrap())
}

#[test]
fn t3_no_waker_is_woken_under_the_lock() {
    let scene = Arc::new(Scene::new());
    let (mut waiter, flight) = scene.begin(Trigger::Missing, 0.0);
    let (probe, notes) = Probe::new(&scene);
    assert!(poll(&mut waiter, Arc::new(probe)).is_pending());
    scene.fail(&flight, 0.0);
    assert_eq!(taken(&notes), [true, true], "woken, and dropped");
}

#[test]
fn no_error_is_dropped_under_the_lock_when_another_takes_its_place() {
    for ends_with_a_token in [true, false] {
        let scene = Arc::new(Scene::new());
        let (probe, notes) = Probe::new(&scene);
        let (waiter, flight) = scene.begin(Trigger::Missing, 0.0);
        scene.cache.finish(&flight, failed(probe), scene.at(0.0));
        drop((waiter, flight));
        assert_eq!(taken(&notes), [false; 0], "it is kept for the backoff");
        let (_, flight) = scene.begin(Trigger::Forced, 0.0);
        if ends_with_a_token {
            scene.bring(&flight, "1", 0.0);
        } else {
            scene.abort(&flight, 0.0);
        }
        assert_eq!(taken(&notes), [true]);
    }
}

#[test]
fn no_error_is_dropped_under_the_lock_when_its_fetch_was_given_up() {
    let scene = Arc::new(Scene::new());
    let (probe, notes) = Probe::new(&scene);
    let (_, late) = scene.begin(Trigger::Missing, 0.0);
    scene.abort(&late, 0.0);
    scene.cache.finish(&late, failed(probe), scene.at(0.0));
    assert_eq!(taken(&notes), [true]);
}

#[test]
fn no_waker_is_dropped_under_the_lock_with_the_last_handle_of_its_fetch() {
    let scene = Arc::new(Scene::new());
    let (mut waiter, flight) = scene.begin(Trigger::Missing, 0.0);
    let (probe, notes) = Probe::new(&scene);
    assert!(poll(&mut waiter, Arc::new(probe)).is_pending());
    drop(waiter);
    assert_eq!(taken(&notes), [true]);
    scene.fail(&flight, 0.0);
    assert_eq!(taken(&notes), [false; 0]);
}
