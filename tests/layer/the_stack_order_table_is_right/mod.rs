//! The layer does what the documentation's table says, in every order with the layers of the table.

mod layers;
mod probes;
mod stack;
mod table;

use layers::LAYERS;
use probes::{OF_A_LATE_TOKEN, findings};
use stack::{Order, Wrap};

/// A layer's name, and what is found with it alone.
struct Row {
    name: &'static str,
    wrap: Wrap,
    outside: Vec<String>,
    inside: Vec<String>,
}

async fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for &(name, wrap) in LAYERS {
        let outside = findings(&Order { outside: vec![wrap], inside: Vec::new() }).await;
        let inside = findings(&Order { outside: Vec::new(), inside: vec![wrap] }).await;
        rows.push(Row { name, wrap, outside, inside });
    }
    rows
}

#[tokio::test(start_paused = true)]
async fn each_layer_outside_and_inside_does_as_the_table_says() {
    let bare = findings(&Order::default()).await;
    assert!(bare.iter().all(String::is_empty), "with no other layer: {bare:?}");
    let found = table::of_rows(&rows().await);
    assert!(table::of_file(PAGE) == found, "{PAGE} should say:\n\n{}\n", found.join("\n"));
}

#[test]
fn the_readme_says_the_same_of_fewer_layers() {
    let (page, readme) = (table::of_file(PAGE), table::of_file("README.md"));
    assert!(readme.len() > 4, "a table with some rows: {readme:?}");
    for line in readme {
        assert!(page.contains(&line), "{PAGE} does not say: {line}");
    }
}

/// Each layer at each place does what its row says; of two that answer the same question, the outer one.
#[tokio::test(start_paused = true)]
async fn two_layers_in_any_order_do_as_their_rows_say() {
    let rows = rows().await;
    let pairs = rows.iter().flat_map(|first| rows.iter().map(move |second| [first, second]));
    for pair in pairs.filter(|[first, second]| first.name != second.name) {
        for outside in 0..=2 {
            does_as_its_rows_say(&pair, outside).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn all_layers_in_any_order_do_as_their_rows_say() {
    let rows = rows().await;
    let mut random = fastrand::Rng::with_seed(1);
    for _ in 0..300 {
        let mut all: Vec<_> = rows.iter().collect();
        random.shuffle(&mut all);
        does_as_its_rows_say(&all, random.usize(..=all.len())).await;
    }
}

/// The first `outside` of these layers stand outside, all of them from the outside in.
async fn does_as_its_rows_say(layers: &[&Row], outside: usize) {
    let (outer, inner) = layers.split_at(outside);
    let wraps = |rows: &[&Row]| rows.iter().map(|row| row.wrap).collect();
    let found = findings(&Order { outside: wraps(outer), inside: wraps(inner) }).await;
    let sayings: Vec<_> = outer.iter().map(|row| &row.outside).chain(inner.iter().map(|row| &row.inside)).collect();
    for (question, found) in found.iter().enumerate() {
        let outermost = sayings.iter().filter_map(|row| row.get(question)).find(|finding| !finding.is_empty());
        let expected = outermost.filter(|_| !is_tried_again(question, outer)).map_or("", String::as_str);
        let names = |rows: &[&Row]| rows.iter().map(|row| row.name).collect::<Vec<_>>();
        assert_eq!(found, expected, "with {:?} outside and {:?} inside", names(outer), names(inner));
    }
}

/// The one case in which two layers do what neither does alone: what a `Timeout` outside cuts short, a `Retry` around
/// it tries again, and then the token is there.
fn is_tried_again(question: usize, outside: &[&Row]) -> bool {
    let place = |name| outside.iter().position(|row| row.name == name);
    let retry_is_over_timeout =
        place("`Retry`").zip(place("`Timeout`")).is_some_and(|(retry, timeout)| retry < timeout);
    retry_is_over_timeout && OF_A_LATE_TOKEN.contains(&question)
}

const PAGE: &str = "src/guide/stack_order.rs";
