"""The dashboard's parts: what there is to show (sources, run_facts), pictures, and one file a page.

sources     models and samples, found in the folders     } neither imports Streamlit
run_facts   curves, scores and worst photos of runs      }
uploads     a visitor's photo or video                   }
figures     interactive figures (Plotly)
session     caches, choices that last from page to page, errors in one line
inspect_photo, your_photo, training, all_runs, worst_photos: the pages, each a `show()`
"""
