//! What `run.py` asks of a client: each line of input is a batch of calls, each line of output their outcomes.

use std::{
    error::Error,
    io::{self, Write},
    num::ParseIntError,
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

/// Token URL, API URL, client id and client secret.
pub(crate) fn arguments(skip: usize) -> Result<[String; 4], BoxError> {
    let arguments: Vec<_> = std::env::args().skip(1 + skip).collect();
    arguments.try_into().map_err(|_| "arguments: token URL, API URL, client id, client secret".into())
}

/// Runs the batches. `call` gets the URL and the caller's time limit, which is zero for none.
pub(crate) async fn serve<F, Fut>(versions: &str, call: F) -> Result<(), BoxError>
where
    F: Fn(String, Duration) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = String> + Send,
{
    println!("ready {versions}");
    for line in io::stdin().lines() {
        let outcomes = batch(&line?, &call).await?;
        writeln!(io::stdout(), "{}", outcomes.join(" "))?;
    }
    Ok(())
}

async fn batch<F, Fut>(line: &str, call: &F) -> Result<Vec<String>, BoxError>
where
    F: Fn(String, Duration) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = String> + Send,
{
    let words: Vec<_> = line.split_whitespace().collect();
    let [calls, gap, timeout, url] = words.as_slice() else {
        return Err("a line is: calls, gap, timeout, URL".into());
    };
    let (gap, timeout) = (millis(gap)?, millis(timeout)?);
    let mut callers = JoinSet::new();
    for number in 0..calls.parse()? {
        let (call, url) = (call.clone(), (*url).to_owned());
        callers.spawn(async move {
            tokio::time::sleep(gap * number).await;
            let start = Instant::now();
            let outcome = call(url, timeout).await;
            format!("{outcome}:{}", start.elapsed().as_millis())
        });
    }
    Ok(callers.join_all().await)
}

fn millis(text: &str) -> Result<Duration, ParseIntError> {
    text.parse().map(Duration::from_millis)
}
