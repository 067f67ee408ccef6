"""The dashboard's parts: what there is to show, pictures of it, and one file a page.

model_choices   models, found in the folders                }
sample_choices  photos, found in the folders or drawn       } do not import Streamlit
run_facts       curves, scores and worst photos of runs     }
uploads         a visitor's photo or video                  }
figures         interactive figures (Plotly)
session         caches, choices that last from page to page, errors in one line
inspect_photo, your_photo, training, all_runs, worst_photos: the pages, each a `show()`
"""
