-- What is known of users while SQL is away. One string a user, `known:<user id>`, a MessagePack array of
--   life                 run id of the Redis that took the copies: another may have lost newer ones, and trusts none
--   {version, content}   the recipient as JSON, and the version of the row it was read from; -1, '' where unknown
--   {version, content}   the same of the preferences; 0 is the version of a row that is not there
--   gone_at              when the user was forgotten (Unix milliseconds), or 0
-- A version only ever grows, also over lives: whoever read before a change cannot put the old copy back.
local operation, ttl_ms = ARGV[1], tonumber(ARGV[2])
local life = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')

local function held(key)
  local packed = redis.call('GET', key)
  if not packed then return {life, {-1, ''}, {-1, ''}, 0} end
  local user = cmsgpack.unpack(packed)
  if user[1] ~= life then user = {life, {user[2][1], ''}, {user[3][1], ''}, user[4]} end
  return user
end

local function hold(key, user)
  redis.call('SET', key, cmsgpack.pack(user), 'PX', ttl_ms)
end

if operation == 'find' then
  local found = {}
  for i, key in ipairs(KEYS) do
    local user = held(key)
    found[i] = {user[2][2], user[3][2], user[3][1], user[4]}
  end
  return found
end

if operation == 'remember' then
  for i, key in ipairs(KEYS) do
    local user, is_changed = held(key), false
    for half = 2, 3 do
      local place = 4 * i - 1 + 2 * (half - 2)
      local version, content = tonumber(ARGV[place]), ARGV[place + 1]
      if content ~= '' and version >= user[half][1] then
        user[half] = {version, content}
        is_changed = true
      end
    end
    if is_changed then hold(key, user) end
  end
  return life
end

-- forget
local at_ms, version = tonumber(ARGV[3]), tonumber(ARGV[4])
for _, key in ipairs(KEYS) do
  local user = held(key)
  local newest = math.max(version, user[2][1] + 1, user[3][1] + 1)
  hold(key, {life, {newest, ''}, {newest, ''}, math.max(at_ms, user[4])})
end
return life
