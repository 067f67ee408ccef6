"""The server's own page: what it takes, tried out at once; needs no network beyond the server."""

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>skyseg</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 54rem; margin: 2rem auto; padding: 0 1rem }
label { margin-right: 1rem } pre { background: #8882; padding: .7rem; overflow: auto }
#out img { max-width: 100%; background: repeating-conic-gradient(#ccc 0 25%, #fff 0 50%) 0 0/20px 20px }
:root { color-scheme: light dark }
</style></head><body>
<h1>Sky masks</h1>
<p>Model <b>@model@</b> in @backend@; classes: @classes@.</p>
<form id="form">
<label>Photo <input type="file" name="image" accept="image/*" required></label>
<label>Format <select name="format">@options@</select></label>
<label>Threshold <input name="threshold" type="number" min="0" max="1" step="0.05"
 placeholder="@threshold@" style="width: 5rem"></label>
<button>Send</button></form>
<div id="out" aria-live="polite"></div>
<h2>From a program</h2>
<pre>curl -F image=@photo.jpg '@url@/mask?format=mask' -o mask.png
curl --data-binary @photo.jpg '@url@/mask?format=json'</pre>
<p><a href="openapi.json">openapi.json</a> describes every call (<a href="docs">as a page</a>, which
loads its scripts from the internet); <a href="health">health</a>, <a href="metrics">metrics</a>.</p>
<script>
const form = document.getElementById("form"), out = document.getElementById("out");
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const query = new URLSearchParams({format: form.format.value});
  if (form.threshold.value) query.set("threshold", form.threshold.value);
  const data = new FormData(); data.set("image", form.image.files[0]);
  out.textContent = "...";
  const start = performance.now();
  try {
    const answer = await fetch("mask?" + query, {method: "POST", body: data});
    const type = answer.headers.get("content-type") || "";
    const note = document.createElement("p");
    note.textContent = `${answer.status}, ${Math.round(performance.now() - start)} ms`;
    let shown;
    if (type.startsWith("image/")) {
      shown = document.createElement("img");
      shown.alt = "the mask"; shown.src = URL.createObjectURL(await answer.blob());
    } else if (/json|text/.test(type)) {
      shown = document.createElement("pre"); shown.textContent = await answer.text();
    } else {
      shown = document.createElement("a"); shown.textContent = "download";
      shown.href = URL.createObjectURL(await answer.blob()); shown.download = form.format.value;
    }
    out.replaceChildren(note, shown);
  } catch (error) { out.textContent = String(error); }
});
</script></body></html>
"""
