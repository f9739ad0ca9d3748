defmodule Python.Environment.Http do
  @moduledoc false

  # One file by HTTP, with the applications of OTP, through the proxy and with the certificates that the environment
  # names, as uv does it. Only for a uv where there is no Python yet.

  alias Python.Environment.{Failure, Secrets}
  alias Python.InstallError

  @connect_timeout 15_000
  @timeout 300_000

  # The applications are not among those that this one asks for, as a release need not have them. The compiler would
  # warn of a plain call.
  @doc "The content of a file."
  @spec get(String.t(), map) :: {:ok, binary} | {:error, InstallError.t()}
  def get("file://" <> path, _env) do
    with {:error, reason} <- File.read(URI.decode(path)),
         do: {:error, failed("file://" <> path, "#{:file.format_error(reason)}")}
  end

  def get(url, env) do
    with :ok <- ensure(:inets), :ok <- ensure(:ssl), {:ok, tls} <- tls(env) do
      request(url, env, tls)
    end
  end

  @doc "Starts an application of OTP. It may be missing, or not yet on the code path."
  @spec ensure(atom) :: :ok | {:error, InstallError.t()}
  def ensure(name) do
    # Newer versions of Mix have them on the path only when asked to.
    if Code.ensure_loaded?(Mix) and function_exported?(Mix, :ensure_application!, 1),
      do: apply(Mix, :ensure_application!, [name])

    case Application.ensure_all_started(name) do
      {:ok, _} ->
        :ok

      {:error, reason} ->
        {:error,
         InstallError.new(
           :no_uv,
           "a download needs the application #{inspect(name)}, which does not start: #{inspect(reason)}",
           remedy: "Add it to :extra_applications in the mix.exs, or put uv on PATH."
         )}
    end
  end

  # A profile of its own: the settings of the default one are those of the user's program.
  defp request(url, env, tls) do
    profile = :"erlang_python_#{System.unique_integer([:positive])}"
    {:ok, pid} = apply(:inets, :start, [:httpc, [profile: profile], :stand_alone])
    # It takes those with it that it is linked to when it is stopped.
    Process.unlink(pid)

    try do
      :ok = apply(:httpc, :set_options, [proxies(url, env), pid])

      options = [
        timeout: @timeout,
        connect_timeout: @connect_timeout,
        ssl: tls,
        autoredirect: true
      ]

      url = String.to_charlist(url)

      request = {url, [{~c"user-agent", ~c"erlang_python"}]}

      case apply(:httpc, :request, [:get, request, options, [body_format: :binary], pid]) do
        {:ok, {{_, 200, _}, _headers, body}} -> {:ok, body}
        {:ok, {{_, status, phrase}, _, _}} -> {:error, failed(url, "#{status} #{phrase}")}
        {:error, reason} -> {:error, failed(url, inspect(reason, limit: 20))}
      end
    after
      apply(:inets, :stop, [:stand_alone, pid])
    end
  end

  defp failed(url, text) do
    {reason, remedy} = Failure.kind(text)
    url = Secrets.mask_url(to_string(url))

    InstallError.new(
      if(reason == :failed, do: :network, else: reason),
      "#{url} could not be downloaded: #{text}",
      remedy: remedy || "Check the network, the proxy (HTTPS_PROXY) and the URL."
    )
  end

  ## Proxies

  defp proxies(url, env) do
    scheme = URI.parse(url).scheme

    names =
      if scheme == "https",
        do: ~w(HTTPS_PROXY https_proxy ALL_PROXY all_proxy),
        else: ~w(http_proxy HTTP_PROXY ALL_PROXY all_proxy)

    option = if scheme == "https", do: :https_proxy, else: :proxy

    with proxy when is_binary(proxy) <-
           Enum.find_value(names, &(env[&1] not in [nil, ""] && env[&1])),
         %URI{host: host, port: port} when is_binary(host) and is_integer(port) <-
           URI.parse(proxy) do
      [{option, {{String.to_charlist(host), port}, no_proxy(env)}}]
    else
      _ -> []
    end
  end

  defp no_proxy(env) do
    for host <- String.split(env["NO_PROXY"] || env["no_proxy"] || "", ",", trim: true),
        host = String.trim(host),
        do: host |> String.replace_prefix(".", "*.") |> String.to_charlist()
  end

  ## Certificates

  defp tls(env) do
    with {:ok, certificates} <- certificates(env["SSL_CERT_FILE"]) do
      match = [match_fun: apply(:public_key, :pkix_verify_hostname_match_fun, [:https])]
      {:ok, [verify: :verify_peer, depth: 5, customize_hostname_check: match] ++ certificates}
    end
  end

  @files ~w(/etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/ca-bundle.pem /etc/ssl/cert.pem)

  defp certificates(file) when file in [nil, ""] do
    case Enum.find(@files, &File.exists?/1) do
      nil -> {:ok, [cacerts: apply(:public_key, :cacerts_get, [])]}
      file -> {:ok, [cacertfile: String.to_charlist(file)]}
    end
  rescue
    # OTP 24 has no such function.
    _ ->
      {:error,
       InstallError.new(:network, "there are no certificates of authorities on this system",
         remedy: "Set SSL_CERT_FILE to a file with some."
       )}
  end

  defp certificates(file) do
    if File.exists?(file),
      do: {:ok, [cacertfile: String.to_charlist(file)]},
      else:
        {:error,
         InstallError.new(
           :network,
           "SSL_CERT_FILE is #{inspect(file)}, and there is no such file",
           remedy: "Correct it, or unset it."
         )}
  end
end
