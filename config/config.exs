import Config

# Settings of this checkout only: a project that depends on erlang_python never reads this folder.

config :logger, :console, format: "$time $metadata[$level] $message\n"

if File.exists?(Path.join(__DIR__, "#{config_env()}.exs")) do
  import_config "#{config_env()}.exs"
end
