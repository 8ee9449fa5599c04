//! A relay that is a folder: each mail becomes a file, whole or not at all. For the demo, and for people who look on.

use std::path::Path;

use tokio::fs;
use tokio::io::AsyncWriteExt;

use super::content::Content;
use crate::failure::Failure;
use crate::store::Store;
use crate::store::delivery::Claimed;

/// Writes `<folder>/<outbox id>.eml`. The same mail again replaces its file by the same bytes.
pub async fn write(store: &Store, folder: &Path, mail: &Claimed) -> Result<(), Failure> {
    let name = format!("{}.eml", mail.id);
    let (path, unfinished) = (folder.join(&name), folder.join(format!(".{name}.tmp")));
    let failed = |error: std::io::Error| {
        Failure::temporary(format!("cannot write {}: check the folder and its disk", path.display()))
            .because(error)
    };
    fs::create_dir_all(folder).await.map_err(failed)?;
    let mut file = fs::File::create(&unfinished).await.map_err(failed)?;
    let (mut content, mut piece) = (Content::new(store, mail), Vec::new());
    while content.next(&mut piece).await? {
        file.write_all(&piece).await.map_err(failed)?;
        piece.clear();
    }
    file.sync_all().await.map_err(failed)?;
    fs::rename(&unfinished, &path).await.map_err(failed)?;
    // The new name is in the directory: without this it may be gone after a power cut.
    fs::File::open(folder).await.map_err(failed)?.sync_all().await.map_err(failed)
}
