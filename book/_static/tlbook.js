// tlbook: what pages need beside the theme. Everything can be read without it.

// Search results without excerpts where a page is a file, since a browser does not let it read other files.
DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = location.protocol !== "file:";

// What is wider than its place can be scrolled by keyboard, and fades out on the side where there is more.
function markScroller(box) {
  const hidden = box.scrollWidth - box.clientWidth;
  box.tabIndex = hidden > 1 ? 0 : -1;
  box.classList.toggle("tlb-more", hidden - box.scrollLeft > 1);
}

addEventListener("DOMContentLoaded", () => {
  const resized = new ResizeObserver((changes) => changes.forEach((change) => markScroller(change.target)));
  const scrollers =
    ".tlb-mathblock, .tlb-figure, .tlb-table, .tlb-answers-picture, .bd-article pre, .pst-scrollable-table-container";
  document.querySelectorAll(scrollers).forEach((box) => {
    resized.observe(box);
    box.addEventListener("scroll", () => markScroller(box), { passive: true });
  });
});

// On paper nothing but code stays folded, and what stood in tabs says which it is.
addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll(".tlb-panel:not(:only-child)").forEach((panel) => {
    panel.dataset.label = document.getElementById(panel.getAttribute("aria-labelledby"))?.textContent ?? "";
  });
});
addEventListener("beforeprint", () => {
  document.querySelectorAll("details:not([open], .hide, .tlb-code, .tlb-made)").forEach((part) => {
    part.open = true;
    addEventListener("afterprint", () => { part.open = false; }, { once: true });
  });
});
