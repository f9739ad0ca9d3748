[
  inputs: ["{mix,.formatter}.exs", "{bench,config,examples,lib,scripts,test}/**/*.{ex,exs}"]
]
