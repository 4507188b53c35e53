//! Dead letters that arrive one by one leave small blocks; neighbours are made into one.

use super::signature::Builder;
use crate::store::dialect::bulk::{Block, Bulk};
use crate::store::error::contradiction;
use crate::store::indexing::id_list;
use crate::store::{Store, StoreError, custody};

statements! {
    const SMALL = "select id, first_id, last_id, letters, oldest, newest from search_blocks where letters < 32 order by first_id limit $1";
    const IDS = "select id from dead_letters where id >= $1 and id <= $2";
    const REMOVE = "delete from search_blocks where id in (select cast(value as bigint) from json_each(cast($1 as text)))";
}

/// Dead letters of a block made of small ones.
const LETTERS: i64 = 64;
/// Small blocks are left alone until there are so many: the newest are still being added to.
const WORTHWHILE: usize = 16;

#[derive(Clone, sqlx::FromRow)]
struct Small {
    id: i64,
    first_id: i64,
    last_id: i64,
    letters: i64,
    oldest: i64,
    newest: i64,
}

impl Store {
    /// Makes larger search blocks of at most `limit` small ones; answers how many it replaced. To be called now and then by one
    /// instance: searches then read less, and the store shrinks.
    pub async fn compact_search_blocks(&self, limit: u32) -> Result<u64, StoreError> {
        let small: Vec<Small> = read!(self, |pool| sqlx::query_as(SMALL).bind(i64::from(limit)).fetch_all(pool).await?)?;
        if small.len() < WORTHWHILE {
            return Ok(0);
        }
        let mut replaced = 0;
        for group in groups(&small) {
            let block = self.merge(group).await?;
            let ids: Vec<i64> = group.iter().map(|small| small.id).collect();
            replaced += write_on!(self, replace(&ids, block));
        }
        Ok(replaced)
    }

    async fn merge(&self, group: &[Small]) -> Result<Block, StoreError> {
        let mut ids = Vec::new();
        for small in group {
            let rows: Vec<(i64,)> =
                read!(self, |pool| sqlx::query_as(IDS).bind(small.first_id).bind(small.last_id).fetch_all(pool).await?)?;
            ids.extend(rows.into_iter().map(|(id,)| id));
        }
        let list = id_list(&ids);
        let texts: Vec<super::Text> = read!(self, |pool| sqlx::query_as(super::TEXTS).bind(&list).fetch_all(pool).await?)?;
        let bodies = self.bodies(&ids).await?;
        let frames = self.frames(bodies.iter().filter_map(|(_, frames, _)| *frames)).await?;
        let sign = move || {
            let mut builder = Builder::new();
            for text in texts.iter().flat_map(|text| [&text.message, &text.exception_class]).flatten() {
                builder.add(text);
            }
            for frames in frames.values() {
                builder.add(frames);
            }
            for (_, _, body) in &bodies {
                let raw = custody::decompress(body)?;
                custody::visit_searchable(&raw, |text| builder.add(text)).ok_or_else(|| contradiction("custody"))?;
            }
            Ok::<_, StoreError>(builder.finish())
        };
        let signed = tokio::task::spawn_blocking(sign).await;
        Ok(Block {
            first_id: group.iter().map(|small| small.first_id).min().unwrap_or_default(),
            last_id: group.iter().map(|small| small.last_id).max().unwrap_or_default(),
            letters: group.iter().map(|small| small.letters).sum(),
            oldest: group.iter().map(|small| small.oldest).min().unwrap_or_default(),
            newest: group.iter().map(|small| small.newest).max().unwrap_or_default(),
            signature: signed.map_err(|error| contradiction(format!("custody: {error}")))??,
        })
    }
}

/// Runs of neighbours with about as many dead letters as a block should have.
fn groups(small: &[Small]) -> Vec<&[Small]> {
    let (mut groups, mut start, mut letters) = (Vec::new(), 0, 0);
    for (index, block) in small.iter().enumerate() {
        // A block far away in ids would make the merged range hold strangers.
        let far = index > start && block.first_id - small[index - 1].last_id > LETTERS;
        if far || letters + block.letters > LETTERS {
            groups.push(&small[start..index]);
            (start, letters) = (index, 0);
        }
        letters += block.letters;
    }
    groups.push(&small[start..]);
    groups.retain(|group| group.len() > 1);
    groups
}

engines! {
    /// Puts one block in the place of others; nothing when retention or another instance was faster.
    pub(in crate::store) async fn replace(tx: &mut Connection, ids: &[i64], block: Block) -> Result<u64, StoreError> {
        let removed = sqlx::query(REMOVE).bind(id_list(ids)).execute(&mut *tx).await?.rows_affected();
        // Blocks that are gone held dead letters that are gone, or are part of another instance's new block.
        tx.insert_blocks(vec![block]).await?;
        Ok(removed)
    }
}
