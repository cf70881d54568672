//! Tests of the queue in front of the store's thread, and of the thread's transactions.

use std::sync::mpsc;

use super::*;
use crate::{
    admission::DeviceKey,
    limits::Limits,
    names::{DeviceId, Timestamp},
    receipt::ServiceKey,
    server::{
        clock_guard::ClockGuard, environment::Environment, health::Health, metrics::Metrics, sessions::Sessions,
        settings::WakeUpSettings, subscriptions::Subscriptions, wake_up::WakeUps,
    },
    store::SqliteStore,
};

fn worker(queue: usize) -> (Worker, JoinHandle<()>) {
    let store = SqliteStore::in_memory().expect("a store");
    let service = DeliveryService::open(store, Limits::default(), ServiceKey::from_seed(&[1; 32]));
    let (subscriptions, sessions, metrics) = (Subscriptions::new(1, 1), Sessions::default(), Metrics::default());
    let environment = Environment::of_this_machine();
    let wake_ups = WakeUps::new(&WakeUpSettings::default(), environment.clone(), metrics.clone()).expect("no client");
    let clock = ClockGuard::new(environment, metrics.clone(), None, Duration::ZERO);
    let service = service.expect("a service");
    let parts = WorkerParts { subscriptions, sessions, metrics, clock, health: Health::default(), wake_ups };
    Worker::start(service, parts, queue).expect("a thread")
}

fn device(user: &str) -> DeviceId {
    DeviceId::new(user, "phone").expect("a short name")
}

fn register(service: &Service<'_>, name: &str) {
    let registered = service.register_device(&device(name), DeviceKey([0; 32]), None, Timestamp(0));
    registered.expect("a device");
}

async fn is_known(worker: &Worker, name: &'static str) -> bool {
    let key = worker.call(move |service, _| Ok(service.device_key(&device(name))?)).await;
    key.expect("an answer").is_some()
}

/// Keeps the thread busy until the sender is dropped. The future completes after the call has
/// started and ended.
fn occupy(worker: &Worker) -> (mpsc::Sender<()>, impl Future<Output = Result<(), RequestError>> + use<>) {
    let (release, released) = mpsc::channel();
    let (begin, began) = mpsc::channel();
    let worker = worker.clone();
    let busy = tokio::spawn(async move {
        let work = move |_: &Service<'_>, _: &mut AfterCommit| {
            begin.send(()).expect("the test waits");
            let _ = released.recv();
            Ok(())
        };
        worker.call(work).await
    });
    let busy = async move {
        tokio::task::spawn_blocking(move || began.recv()).await.expect("a thread").expect("the call has started");
        busy.await.expect("an answer")
    };
    (release, busy)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_refuses_calls() {
    let (worker, _thread) = worker(1);
    let (release, busy) = occupy(&worker);
    let busy = tokio::spawn(busy);
    while worker.depth() == 0 {
        tokio::task::yield_now().await;
    }
    // One call is running, and one or two can wait. The queue refuses the rest.
    let waiting = [0; 3].map(|_| {
        let worker = worker.clone();
        tokio::spawn(async move { worker.call(|_, _| Ok(())).await })
    });
    while waiting.iter().all(|one| !one.is_finished()) {
        tokio::task::yield_now().await;
    }
    drop(release);
    let mut refused = 0;
    for one in waiting {
        if let Err(RequestError(problem)) = one.await.expect("an answer") {
            assert_eq!((problem.code, problem.retry_after), (Code::Unavailable, Some(1)));
            refused += 1;
        }
    }
    assert!(refused > 0);
    busy.await.expect("an answer").expect("the call succeeds");
    assert_eq!(worker.call(|_, _| Ok(1)).await, Ok(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_undoes_only_its_own_call() {
    let (worker, _thread) = worker(16);
    let (release, busy) = occupy(&worker);
    let busy = tokio::spawn(busy);
    let calls = ["before", "panics", "after"].map(|name| {
        let worker = worker.clone();
        tokio::spawn(async move {
            let call = worker.call(move |service, _| {
                if name == "panics" {
                    panic!("on purpose");
                }
                register(service, name);
                Ok(())
            });
            call.await
        })
    });
    drop(release);
    busy.await.expect("an answer").expect("the call succeeds");
    let [before, panics, after] = calls;
    assert_eq!(before.await.expect("an answer"), Ok(()));
    assert_eq!(panics.await.expect("an answer"), Err(Code::Internal.into()));
    assert_eq!(after.await.expect("an answer"), Ok(()));
    assert!(is_known(&worker, "before").await && is_known(&worker, "after").await);
}

#[tokio::test]
async fn after_commit_work_runs_even_if_the_caller_has_gone() {
    let (worker, thread) = worker(16);
    let (sender, receiver) = mpsc::channel();
    let call = worker.call(move |_, after_commit| {
        after_commit.then(move || sender.send("done").expect("the test listens"));
        Ok(())
    });
    // The test polls the call once and then drops it.
    tokio::select! { biased; _ = call => {}, () = async {} => {} }
    worker.stop();
    thread.join().expect("the thread ends");
    assert_eq!(receiver.recv(), Ok("done"));
}

#[tokio::test]
async fn queued_calls_run_before_the_thread_ends() {
    let (worker, thread) = worker(16);
    let call = worker.call(|service, _| {
        register(service, "alice");
        Ok("made")
    });
    let mut call = std::pin::pin!(call);
    tokio::select! { biased; answer = &mut call => assert_eq!(answer, Ok("made")), () = async {} => {
        worker.stop();
        assert_eq!(call.await, Ok("made"));
    } }
    worker.stop();
    thread.join().expect("the thread ends");
    assert_eq!(worker.call(|_, _| Ok(())).await.map_err(|refusal| refusal.0.code), Err(Code::Unavailable));
}
