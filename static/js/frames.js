// Updates that come faster than the screen: the newest of each key, written in one go before the next frame is painted.

/** `paint(updates)` gets the newest update of each key that was added since the last frame. Returns add(key, update). */
export function eachFrame(paint) {
  const waiting = new Map();
  let asked = false;
  function draw() {
    asked = false;
    const updates = [...waiting.values()];
    waiting.clear();
    paint(updates);
  }
  return (key, update) => {
    waiting.set(key, update);
    if (asked) return;
    asked = true;
    window.requestAnimationFrame(draw);
  };
}
