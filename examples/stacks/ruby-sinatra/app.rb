# `/` greets, `/health` says that it is up.
require "sinatra/base"

class App < Sinatra::Base
  before { content_type :text }

  get("/") { "hello from Sinatra\n" }
  get("/health") { "ok\n" }
end
