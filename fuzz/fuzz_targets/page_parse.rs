//! Any bytes as a page: what is taken keeps the limits and the order that verification relies on, and is written back
//! as the same page.
#![no_main]

use hufu_schemas_core::limits::PageLimits;
use hufu_schemas_core::page::Page;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(page) = Page::parse(bytes, &PageLimits::DEFAULT) else { return };
    assert!(!page.entries.is_empty() && page.entries.len() <= PageLimits::DEFAULT.entries);
    assert!(page.opened.iter().all(|leaf| (page.from..page.to()).contains(&leaf.index)));
    assert!(page.opened.windows(2).all(|pair| pair[0].index < pair[1].index));
    assert_eq!(page.evidence().len(), page.blocks.len(), "a height stands once");
    assert_eq!(Page::parse(&page.to_bytes(), &PageLimits::DEFAULT).as_ref(), Ok(&page));
});
