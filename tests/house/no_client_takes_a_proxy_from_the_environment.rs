//! What the documentation and the examples make of reqwest's client.

use std::{fs, path::Path};

/// reqwest would send a request to `http://localhost`, with all its secrets, to the proxy that the environment names.
#[test]
fn not_in_the_documentation_nor_anywhere_else() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut texts = vec![fs::read_to_string(root.join("README.md")).unwrap()];
    let mut folders = vec![root.join("src"), root.join("examples")];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() && !path.ends_with("node_modules") {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") && !path.ends_with(file!()) {
                texts.push(fs::read_to_string(path).unwrap());
            }
        }
    }
    let (mut clients, mut careless) = (0, Vec::new());
    for text in &texts {
        let made = text
            .split("reqwest::Client::")
            .skip(1)
            .filter(|rest| rest.starts_with("builder()") || rest.starts_with("new()"));
        for client in made {
            clients += 1;
            // Until the client is built, comments and line breaks aside.
            let settings = client.split(".build()").next().unwrap_or_default();
            if client.starts_with("new()") || !(settings.contains(".no_proxy()") || settings.contains(".proxy(")) {
                careless.push(client.chars().take(120).collect::<String>());
            }
        }
    }
    assert!(clients >= 2 && careless.is_empty(), "{clients} clients, of which without `no_proxy()`: {careless:#?}");
}
